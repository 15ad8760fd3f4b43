/*
 * A new volume key where the data is: a block device, a LUKS2 volume that is mapped and may be in
 * use, or one with a detached header. The passphrase stays until the volume key is new; then it is rotated like any
 * other.
 *
 * Recorded as CONVERTING without an intent. What the header says of a re-encryption counts only with
 * such a record, and with the record's two volume keys.
 */
#include "lib/workflow/reencrypt/internal.h"

#include "base/file.h"
#include "lib/volume/header.h"
#include "lib/volume/mapped.h"

#include "lib/image/container_restore.h"
#include "lib/image/recrypt/inplace.h"
#include "lib/image/mapping/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool reencrypt_is_online(const struct record *r)
{
	struct volume_mapping m = { 0 };
	if (r->state == RECORD_CONVERTING)
		return !r->beside;
	if (r->state != RECORD_READY || r->luks_version != 2 || r->format != RECORD_FORMAT_RAW)
		return false;
	/* Two files cannot be replaced at one moment. */
	if (r->header_path)
		return true;
	return file_is_block_device(r->path) || (volume_mapping(r, &m, NULL) == 0 && m.name[0]);
}

static struct inplace_expected expected(const struct record *r)
{
	return (struct inplace_expected){
		.cipher = r->cipher,
		.sector_size = r->sector_size,
		.data_offset = r->geometry.data_offset,
		.volume_key = r->volume_key,
		.next_volume_key = r->next_volume_key,
	};
}

/* ---- where: the mapping, or what it would be made of ---- */

struct place {
	char name[MAPPING_NAME_LEN];	/* "" : not mapped */
	char device[64];
	struct inplace job;
};

/*
 * One that was killed left the mapping on helper devices, a part of which may be held. Nobody has it
 * open: then it goes, and what is left to do is done without.
 */
static int clear_stack(const struct volume_env *env, const struct record *r, const struct mapping *m, struct error *e)
{
	if (m->open_count)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "%s (/dev/mapper/%s) was interrupted in the middle of a re-encryption and is in use: "
				 "stop its users (at worst restart the host), then run `kvmcrypt recover`",
				 r->path, m->name);
	volume_note(env, "%s is closed: /dev/mapper/%s was left half made by an interrupted re-encryption", r->path,
		    m->name);
	return mapping_remove_stack(m->name, e);
}

static int find_place(const struct volume_env *env, const struct record *r, struct place *ret, struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	struct place p = { 0 };
	int result = mapping_list_read(&maps, e);
	const struct mapping *m = mapping_find(&maps, r->luks_uuid, false);
	if (result == 0 && m && (!m->live || mapping_is_stacked(m->name))) {
		result = clear_stack(env, r, m, e);
		m = NULL;
	}
	/* Somebody closed it in that state. */
	if (result == 0 && !m)
		result = mapping_remove_orphans(r->luks_uuid, e);
	if (result == 0 && m && m->readonly)
		result = error_set(e, ERROR_BUSY, EROFS, "%s is open read-only as /dev/mapper/%s: close it first",
				   r->path, m->name);
	if (result == 0 && m) {
		snprintf(p.name, sizeof(p.name), "%s", m->name);
		result = mapping_remove_helpers(p.name, e);
	}
	if (result == 0 && m)
		result = mapping_data_device(p.name, p.device, sizeof(p.device), e);
	if (result < 0)
		return result;
	p.job = (struct inplace){
		.header_path = r->header_path,
		.cipher = r->cipher,
		.sector_size = r->sector_size,
		.passphrase = r->passphrase,
		.progress = env->progress,
	};
	*ret = p;
	ret->job.name = m ? ret->name : NULL;
	ret->job.data_path = m ? ret->device : r->path;
	return 0;
}

/* ---- begin ---- */

static int check_header(const struct record *r, const struct luks_info *info, struct error *e)
{
	if (info->integrity[0] || info->iv_tweak || info->data_size)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s has an unusual LUKS2 segment, which is not re-encrypted", r->path);
	return 0;
}

static void note_keyslots(const struct volume_env *env, const struct record *r, const struct luks_info *info)
{
	int n = info->n_keyslots - luks_free_keyslots(info);
	if (n > 1)
		volume_note(env, "%s: %d keyslot%s of others cannot follow to the new volume key and will be gone",
			    r->path, n - 1, n > 2 ? "s" : "");
}

/* The next volume key gets a keyslot, which nothing uses yet. */
static int add_keyslot(const struct volume_env *env, const struct record *r, int *ret_old, int *ret_new,
		       struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *key = NULL;
	int result = volume_open_header(r, CONTAINER_CHANGE, &c, e);
	if (result == 0)
		result = check_header(r, luks_info(container_luks(c)), e);
	/* Of an earlier attempt that came no further. */
	if (result == 0)
		result = luks_remove_unbound(container_luks(c), e);
	if (result == 0)
		result = container_write_back(c, e);
	if (result == 0)
		result = volume_unlock_cheap(container_luks(c), r->passphrase, ret_old, &key, e);
	if (result == 0 && !secret_equal(key, r->volume_key))
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "%s has another volume key than its record", r->path);
	if (result < 0)
		return result;
	note_keyslots(env, r, luks_info(container_luks(c)));
	result = luks_add_unbound(container_luks(c), r->next_volume_key, r->passphrase, ret_new, e);
	return result < 0 ? result : container_write_back(c, e);
}

/* ---- end ---- */

/*
 * All data has the new key and only the header is behind: libcryptsetup 2.6 would encrypt it all once
 * more. So the header is made anew, as for a lost one.
 */
static int write_final_header(const struct record *r, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	int result = header_build(r, r->next_volume_key, &l, e);
	return result < 0 ? result : header_write(r, l, e);
}

int reencrypt_online_clean(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = container_open(volume_header_path(r), IMAGE_FORMAT_RAW, CONTAINER_CHANGE, &c, e);
	if (result == 0)
		result = luks_remove_unbound(container_luks(c), e);
	return result < 0 ? result : container_write_back(c, e);
}

/* ---- the way there, from wherever it is ---- */

/* 1: the header still has the old volume key and nothing was begun in it. */
static int is_untouched(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = container_open(volume_header_path(r), IMAGE_FORMAT_RAW, CONTAINER_LOOK, &c, e);
	return result < 0 ? result : volume_check_binding(r, luks_info(container_luks(c)), NULL) == 0;
}

/* Goes on until the header speaks of no re-encryption. Looks anew after each step: see inplace.h. */
static int go_on(const struct volume_env *env, const struct record *r, enum inplace_stage stage, bool *ret_mapped,
		 struct error *e)
{
	const struct inplace_expected x = expected(r);
	int result = 0;
	for (int rounds = 0; result == 0 && stage != INPLACE_NONE; rounds++) {
		struct place place;
		bool again = false;
		if (rounds > 4)
			return error_set(e, ERROR_FAILED, EIO, "%s: the re-encryption does not come to an end",
					 r->path);
		result = find_place(env, r, &place, e);
		if (result < 0)
			return result;
		*ret_mapped = place.name[0];
		result = stage == INPLACE_ALL_DATA ? write_final_header(r, e) : inplace_resume(&place.job, &again, e);
		if (result == 0)
			result = inplace_look(volume_header_path(r), &x, &stage, e);
	}
	return result;
}

static int first_run(const struct volume_env *env, const struct record *r, bool *ret_mapped, struct error *e)
{
	struct place place;
	int slot_old, slot_new, result = find_place(env, r, &place, e);
	if (result == 0)
		result = add_keyslot(env, r, &slot_old, &slot_new, e);
	if (result < 0)
		return result;
	*ret_mapped = place.name[0];
	return inplace_begin(&place.job, slot_old, slot_new, e);
}

static int look(const struct record *r, enum inplace_stage *ret, struct error *e)
{
	const struct inplace_expected x = expected(r);
	return inplace_look(volume_header_path(r), &x, ret, e);
}

/* Foreign metadata, or another header, is refused before the record says anything of ours. */
int reencrypt_online_check(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = volume_open_header(r, CONTAINER_LOOK, &c, e);
	return result < 0 ? result : check_header(r, luks_info(container_luks(c)), e);
}

int reencrypt_online(struct flow *f, struct error *e)
{
	struct volume_rotated *done = f->result;
	enum inplace_stage stage = INPLACE_NONE;
	bool mapped = false;
	int result = f->resumed ? look(f->record, &stage, e) : 0;
	if (result == 0 && stage != INPLACE_NONE)
		result = go_on(f->env, f->record, stage, &mapped, e);
	else if (result == 0 && (result = is_untouched(f->record, e)) == 1)
		result = first_run(f->env, f->record, &mapped, e);
	if (result == 0 && done)
		done->how = mapped ? "online" : "in place";
	return result;
}

int reencrypt_online_judge(struct flow *f, struct error *e)
{
	enum inplace_stage stage;
	int result = look(f->record, &stage, e);
	if (result == 0 && stage == INPLACE_NONE)
		result = is_untouched(f->record, e);
	if (result < 0)
		return result;
	if (result == 0)
		return stage == INPLACE_NONE ? FLOW_FINISH : FLOW_RESUME;
	flow_say(f, "the volume has its old volume key, nothing had been encrypted anew");
	return FLOW_UNDO;
}
