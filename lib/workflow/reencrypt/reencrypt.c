/*
 * The workflow of a new volume key. Three ways lead to it: a copy at rest (copy.c), a copy by the QEMU of a running
 * guest (live.c), both recorded with the file beside the image; and in place (online.c), recorded without one.
 */
#include "lib/workflow/reencrypt/internal.h"
#include "lib/volume/header.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"
#include "lib/workflow/rotate.h"

#include "base/file.h"
#include "base/walk.h"
#include "lib/image/recrypt/recrypt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int open_new(const struct record *r, const char *path, struct container **ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *key = NULL;
	int slot, result = container_open(path, volume_image_format(r), CONTAINER_LOOK, &c, e);
	if (result == 0)
		result = volume_unlock_cheap(container_luks(c), r->passphrase, &slot, &key, e);
	if (result == 0 && (!r->next_volume_key || !secret_equal(key, r->next_volume_key)))
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "%s has not the volume key that was made for it", path);
	if (result == 0)
		*ret = TAKE_PTR(c);
	return result;
}

int reencrypt_prove(const struct record *r, const char *path, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	return open_new(r, path, &c, e);
}

int reencrypt_adopt(struct record *r, const char *path, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = open_new(r, path, &c, e);
	if (result < 0)
		return result;
	const struct container_info *info = container_info(c);
	volume_fill_from_luks(r, luks_info(container_luks(c)), info->header_offset, info->header_length);
	secret_free(r->volume_key);
	r->volume_key = TAKE_PTR(r->next_volume_key);
	r->recovery_slots = 0;
	return 0;
}

int reencrypt_header(const struct record *r, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	int slot, result = header_build(r, r->next_volume_key, &l, e);
	if (result == 0)
		result = luks_add_keyslot(l, -1, r->next_volume_key, r->pending, LUKS_KDF_GENERATED, &slot, e);
	if (result == 0)
		*ret = TAKE_PTR(l);
	return result;
}

static void drop(struct secret **s)
{
	secret_free(*s);
	*s = NULL;
}

/* ---- check ---- */

#define NOT_ASKED "asked whether it runs (--no-libvirt goes on without)"

static int check_way(const struct record *r, bool online, struct error *e)
{
	struct stat st;
	if (r->integrity)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s has dm-integrity, which cannot be encrypted anew in place: create a new volume "
				 "and copy inside a guest",
				 r->path);
	if (online)
		return 0;
	int result = recrypt_check(r->cipher, r->key_bits, e);
	if (result < 0)
		return error_prefix(e, "%s", r->path);
	if (r->header_path)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s is LUKS1 with a detached header, and two files cannot be replaced at one moment",
				 r->path);
	if (stat(r->path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", r->path);
	if (!S_ISREG(st.st_mode))
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s is a block device with LUKS1, which has no room for a copy", r->path);
	if (st.st_nlink > 1)
		return error_set(e, ERROR_REFUSED, EMLINK,
				 "%s has %lu names; a copy would take the place of this one only", r->path,
				 (unsigned long)st.st_nlink);
	return 0;
}

/* Which way, and who has the volume now. */
static int find_way(struct flow *f, struct volume_mapping *m, struct error *e)
{
	struct reencrypt_state *s = f->state;
	const struct record *r = f->record;
	s->way = reencrypt_is_online(r) ? REENCRYPT_ONLINE : REENCRYPT_COPY;
	if (s->way == REENCRYPT_ONLINE)
		return volume_mapping(r, m, e);
	int result = flow_find_guest(f, e);
	if (result == 0)
		result = volume_check_unmapped(r, e);
	if (f->guest)
		s->way = REENCRYPT_LIVE;
	return result;
}

static int check(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	const struct volume_rotate *p = f->params;
	struct volume_rotated *done = f->result;
	const struct record *r = f->record;
	struct volume_mapping m = { 0 };
	int result = p->without_libvirt ? 0 : volume_check_libvirt(f->g, r, NOT_ASKED, e);
	if (result == 0)
		result = find_way(f, &m, e);
	if (result == 0)
		result = check_way(r, s->way == REENCRYPT_ONLINE, e);
	/* Interrupted, the header may say of itself that it is not whole, or be the new one already. */
	if (result == 0 && s->way == REENCRYPT_COPY && volume_is_ready(r))
		result = reencrypt_copy_check(r, e);
	if (result == 0 && s->way == REENCRYPT_ONLINE && f->locked && !f->resumed)
		result = reencrypt_online_check(r, e);
	if (result < 0)
		return result;
	if (f->locked && r->state == RECORD_LINKED)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "a guest runs with %s since a live change of its volume key: the next one is possible "
				 "after its restart", r->path);
	done->changed = true;
	done->how = f->guest ? "live" : s->way == REENCRYPT_COPY ? "copy" : m.name[0] ? "online" : "in place";
	snprintf(done->domain, sizeof(done->domain), "%s", flow_guest_name(f));
	return 0;
}

/* An interrupted copy at rest is no use to a running guest, whose QEMU makes its own. */
static bool resumable(struct flow *f)
{
	return reencrypt_is_online(f->record) || (flow_find_guest(f, NULL) == 0 && !f->guest);
}

/* ---- the way there ---- */

static int intend(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	struct record *r = f->record;
	AUTOFILE_NEW struct file_new *file = NULL;
	int result = secret_random(r->volume_key->len, &r->next_volume_key, e);
	if (result < 0 || s->way == REENCRYPT_ONLINE)
		return result;
	result = file_new_plan(r->path, &file, e);
	if (result == 0)
		result = secret_generate_passphrase(&r->pending, e);
	if (result < 0)
		return result;
	r->beside = TAKE_PTR(file->tmp);
	return reencrypt_note_file(r, 0, e);
}

static int act(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	switch (s->way) {
	case REENCRYPT_ONLINE:
		return reencrypt_online(f, e);
	case REENCRYPT_LIVE:
		return reencrypt_live(f, e);
	default:
		/* Killed after the rename: only the record is behind. */
		if (f->resumed && reencrypt_prove(f->record, f->record->path, NULL) == 0)
			return 0;
		return reencrypt_copy(f, e);
	}
}

/* The new image is in its place: the next passphrase is in force, the one before is to be retired. */
static int commit(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	struct record *r = f->record;
	/* An earlier run may have ended between the rename and its sync; the old passphrase goes after this. */
	int result = s->way == REENCRYPT_ONLINE ? reencrypt_online_clean(r, e)
		   : s->way == REENCRYPT_LIVE	? reencrypt_live_commit(f, e)
						: file_sync_dir_of(r->path, e);
	if (result == 0)
		result = reencrypt_adopt(r, volume_header_path(r), e);
	/* In place the passphrase cannot change in the same step. */
	if (result < 0 || s->way == REENCRYPT_ONLINE)
		return result;
	rotate_take_next(r);
	record_work_clear(&r->work);
	/* Under a guest it names the link from now on. */
	if (s->way != REENCRYPT_LIVE)
		free(TAKE_PTR(r->beside));
	r->state = RECORD_RETIRING;
	return 0;
}

/* ---- after an interruption ---- */

/* The copy has its temporary name until it takes the image's. */
static bool copy_is_beside(const struct record *r)
{
	struct stat st;
	return r->beside && lstat(r->beside, &st) == 0 && S_ISREG(st.st_mode);
}

static int judge_copy(struct flow *f, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	const struct record *r = f->record;
	struct error why = { 0 };
	int result = container_open(r->path, volume_image_format(r), CONTAINER_LOOK, &c, &why);
	/* A header destroyed meanwhile can be rebuilt, once it is settled which image this is. */
	bool unreadable = result == -EMEDIUMTYPE || (result < 0 && why.kind == ERROR_DAMAGED);
	if (result < 0 && !(unreadable && copy_is_beside(r)))
		return error_pass(e, &why);
	/* Not renamed yet: the old image is as it was. */
	bool old = result < 0 || volume_check_binding(r, luks_info(container_luks(c)), &why) == 0;
	return old ? FLOW_UNDO : FLOW_FINISH;
}

static int judge(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	s->way = reencrypt_is_online(f->record) ? REENCRYPT_ONLINE : REENCRYPT_COPY;
	if (s->way == REENCRYPT_ONLINE)
		return reencrypt_online_judge(f, e);
	int verdict = reencrypt_live_judge(f, e);
	return verdict ? verdict : judge_copy(f, e);
}

static int undo(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	struct record *r = f->record;
	int result = s->way == REENCRYPT_ONLINE ? reencrypt_online_clean(r, e) : 0;
	if (result < 0)
		return result;
	if (r->beside)
		result = walk_remove(r->beside, e);
	if (result < 0)
		return result;
	drop(&r->next_volume_key);
	drop(&r->pending);
	free(TAKE_PTR(r->beside));
	return 0;
}

const struct workflow workflow_volume_key = {
	.name = "volume-key",
	.begun = RECORD_CONVERTING,
	.flags = FLOW_KEEP_WORK | FLOW_HERE | FLOW_NOTES,
	.state_size = sizeof(struct reencrypt_state),
	.undone = "the volume has its old volume key, the copy was removed",
	.finished = "the volume has its new volume key",
	.kept = "keeps its volume key",
	.done = "has its new volume key",
	.check = check,
	.resumable = resumable,
	.intend = intend,
	.act = act,
	.commit = commit,
	.judge = judge,
	.undo = undo,
};

int volume_reencrypt(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		     const struct volume_rotate *p, struct volume_rotated *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct volume_rotated done = { 0 };
	const struct volume_rotate rest = { .without_libvirt = p->without_libvirt };
	const struct flow_call call = {
		.env = env, .g = g, .volume = volume, .params = p, .result = &done, .dry_run = p->dry_run,
	};
	int result = workflow_run(&workflow_volume_key, &call, &r, NULL, e);
	if (result < 0)
		return result;
	done.generation = r->generation;
	*ret = done;
	if (p->dry_run || (strcmp(done.how, "online") && strcmp(done.how, "in place")))
		return 0;
	result = volume_rotate(env, g, volume, &rest, &done, e);
	ret->generation = done.generation;
	return result < 0 ? error_prefix(e, "the volume key is new, the passphrase is not (`kvmcrypt rotate`)") : 0;
}
