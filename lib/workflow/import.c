#include "lib/workflow/replace.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"
#include "lib/volume/internal.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct import_state {
	char *path, *header;	/* canonical; header NULL: not detached */
	struct container *c;
};

static void clear(void *state)
{
	struct import_state *s = state;
	free(s->path);
	free(s->header);
	container_free(s->c);
}

/* ---- check ---- */

/* Is this very image a volume already? Then there is nothing to do. */
static int check_known(struct flow *f, const struct import_state *s, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct error why = { 0 };
	const struct luks_info *info = luks_info(container_luks(s->c));
	int ret = volume_at(f->env->ks, s->path, &r, e);
	if (ret == 0 && !r) {
		ret = keystore_find_luks(f->env->ks, info->uuid, &r, &why);
		if (ret < 0)
			return ret == -ENOENT ? 0 : error_pass(e, &why);
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "%s has the LUKS UUID of the volume at %s: a copy needs its own UUID and key first",
				 s->path, r->path);
	}
	if (ret == 0 && volume_check_binding(r, info, NULL) < 0)
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "the keystore has another volume for %s: `kvmcrypt keystore forget` or `kvmcrypt "
				 "move` that one first",
				 s->path);
	if (ret == 0)
		ret = volume_check_ready(r, e);
	if (ret < 0)
		return ret;
	f->record = TAKE_PTR(r);
	f->unchanged = true;
	return 0;
}

/* Nothing is begun that the header has no room for. */
static int check_room(const struct import_state *s, struct error *e)
{
	if (luks_free_keyslots(luks_info(container_luks(s->c))))
		return 0;
	return error_set(e, ERROR_FAILED, ENOSPC,
			 "all keyslots of %s are in use, and the keystore needs one: remove one with `cryptsetup "
			 "luksKillSlot`",
			 s->path);
}

static int open_image(const struct volume_import *p, struct import_state *s, enum container_mode mode, struct error *e)
{
	container_free(TAKE_PTR(s->c));
	return container_open(s->header ? s->header : s->path, s->header ? IMAGE_FORMAT_RAW : p->format, mode, &s->c,
			      e);
}

/* Under the lock nobody but us writes to it, and it has to be what was looked at. */
static int check_locked(struct flow *f, struct import_state *s, struct error *e)
{
	int r = open_image(f->params, s, CONTAINER_CHANGE, e);
	const struct volume_import *p = f->params;
	if (r == 0 && p->replace)
		r = volume_check_secrets(p->g, s->path, f->record->uuid, e);
	return r < 0 ? r : volume_check_binding(f->record, luks_info(container_luks(s->c)), e);
}

static int check(struct flow *f, struct error *e)
{
	struct import_state *s = f->state;
	const struct volume_import *p = f->params;
	if (f->locked)
		return check_locked(f, s, e);
	int r = volume_new_path(p->path, &s->path, e);
	if (r == 0 && p->header)
		r = file_canonical(p->header, &s->header, e);
	if (r == 0)
		r = open_image(p, s, CONTAINER_LOOK, e);
	if (r == 0 && !s->header && !luks_info(container_luks(s->c))->data_offset)
		r = error_set(e, ERROR_USAGE, EINVAL,
			      "%s is the detached header of another file or device: import that one, with --header=%s",
			      s->path, s->path);
	if (r == 0)
		r = check_known(f, s, e);
	if (r == 0 && p->replace)
		r = volume_check_secrets(p->g, s->path, f->record ? f->record->uuid : NULL, e);
	return r < 0 || f->unchanged ? r : check_room(s, e);
}

/* ---- the record ---- */

/* A relative name counts from the directory of the image. A backing file that is away is no obstacle. */
static int canonical_backing(const char *image, const char *name, char **ret, struct error *e)
{
	AUTOFREE char *joined = NULL;
	const char *slash = strrchr(image, '/');
	if (name[0] == '/' ? (joined = strdup(name)) == NULL
			   : asprintf(&joined, "%.*s/%s", (int)(slash - image), image, name) < 0)
		return error_oom(e);
	if (file_canonical(joined, ret, NULL) < 0)
		*ret = TAKE_PTR(joined);
	return 0;
}

/* The disk of a detached header is the file beside it. */
static int detached_size(const char *path, struct container *c, uint64_t *ret, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size, offset = luks_info(container_luks(c))->data_offset;
	int r = image_open(path, false, &fd, &size, e);
	if (r == 0 && size <= offset)
		r = error_set(e, ERROR_DAMAGED, EBADMSG, "%s is too short for its header", path);
	if (r == 0)
		*ret = size - offset;
	return r;
}

static const char *integrity_name(const struct luks_info *info)
{
	return info->integrity[0] ? volume_integrity_name(info->integrity) : NULL;
}

static int make_record(struct flow *f, struct error *e)
{
	struct import_state *s = f->state;
	AUTOFREE char *backing = NULL;
	const struct container_info *info = container_info(s->c);
	const struct luks_info *luks = luks_info(container_luks(s->c));
	int result = info->qcow2.backing[0] ? canonical_backing(s->path, info->qcow2.backing, &backing, e) : 0;
	if (result == 0)
		result = volume_new_record(s->path, s->header, integrity_name(luks), backing, &f->record, e);
	if (result < 0)
		return result;
	struct record *r = f->record;
	r->format = volume_record_format(info->format);
	r->size = info->size;
	volume_fill_from_luks(r, luks, info->header_offset, info->header_length);
	result = volume_note_parent(f->env->ks, r, info->qcow2.backing_format, e);
	if (result == 0 && s->header)
		result = detached_size(s->path, s->c, &r->size, e);
	return result < 0 ? result : secret_generate_passphrase(&r->passphrase, e);
}

static int make(struct flow *f, struct error *e)
{
	struct import_state *s = f->state;
	const struct volume_import *p = f->params;
	const struct luks_info *info = luks_info(container_luks(s->c));
	AUTOSECRET struct secret *volume_key = NULL;
	const char *why;
	int slot, r = luks_unlock(container_luks(s->c), -1, p->passphrase, &slot, &volume_key, e);
	if (r < 0)
		return error_prefix(e, "%s", s->path);
	if (info->version == 1 && !luks_qemu_can_open(info, &why))
		flow_note(f, "%s is only for dm-crypt (`kvmcrypt open`), not for a guest: QEMU does not know %s",
			  s->path, why);
	if ((r = make_record(f, e)) < 0)
		return r;
	f->record->volume_key = TAKE_PTR(volume_key);
	/* Whoever finishes this does not know the passphrase. */
	return p->replace ? replace_note(f->record, container_luks(s->c), p->passphrase, e) : 0;
}

/* ---- the way there ---- */

static int act(struct flow *f, struct error *e)
{
	struct import_state *s = f->state;
	if (luks_free_keyslots(luks_info(container_luks(s->c))) == 1)
		flow_note(f, "this takes the last free keyslot of %s: `kvmcrypt rotate` needs one, so remove another",
			  s->path);
	return container_add_keyslot(s->c, f->record->volume_key, f->record->passphrase, LUKS_KDF_GENERATED, e);
}

static int commit(struct flow *f, struct error *e)
{
	(void)e;
	if (f->record->work.version)
		f->record->state = RECORD_REPLACING;
	return 0;
}

static int judge(struct flow *f, struct error *e)
{
	struct error why = { 0 };
	if (flow_prove(f, &why) == 0)
		return FLOW_FINISH;
	/* Our keyslot opens nothing, so the record is worth nothing and the image was not changed. */
	if (why.kind == ERROR_BAD_KEY)
		return FLOW_UNDO;
	if (why.kind != ERROR_NOT_FOUND && why.kind != ERROR_DAMAGED)
		return error_pass(e, &why);
	/* The record may be what rebuilds the header one day. */
	flow_say(f, "%s", why.message);
	return FLOW_STUCK;
}

const struct workflow workflow_import = {
	.name = "import",
	.begun = RECORD_IMPORTING,
	.flags = FLOW_NEW,
	.state_size = sizeof(struct import_state),
	.undone = "our keyslot had not been written; the image is as it was",
	.finished = "our keyslot was there",
	.done = "was imported",
	.check = check,
	.make = make,
	.act = act,
	.prove = flow_prove,
	.commit = commit,
	.judge = judge,
	.clear = clear,
};

int volume_import(const struct volume_env *env, const struct volume_import *p, struct record **ret,
		  bool *ret_existed, struct error *e)
{
	const struct flow_call call = { .env = env, .params = p, .dry_run = p->dry_run };
	AUTORECORD struct record *r = NULL;
	int result = p->dry_run ? 0 : workflow_settle_path(env, NULL, p->path, e);
	if (result == 0)
		result = workflow_run(&workflow_import, &call, &r, ret_existed, e);
	/* Of an image that was imported before, and with a passphrase that may open keyslots still. */
	if (result == 0 && p->replace && *ret_existed && !p->dry_run)
		result = volume_replace(env, p->g, r->uuid, p->passphrase, e);
	if (result == 0)
		*ret = TAKE_PTR(r);
	return result;
}

int volume_import_look(const struct volume_env *env, const struct volume_import *p, bool *ret_known, struct error *e)
{
	struct import_state s = { 0 };
	struct flow f = { .workflow = &workflow_import, .env = env, .params = p, .state = &s };
	/* One that was interrupted is none of the known ones yet. */
	int r = p->dry_run ? 0 : workflow_settle_path(env, NULL, p->path, e);
	if (r == 0)
		r = check(&f, e);
	if (r == 0 && !f.unchanged && image_is_in_use(s.path))
		r = error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", s.path);
	if (r == 0)
		*ret_known = f.unchanged;
	record_free(f.record);
	clear(&s);
	return r;
}
