#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"
#include "lib/workflow/reencrypt/internal.h"
#include "lib/workflow/resize_integrity.h"
#include "lib/workflow/rotate.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void outcome(struct volume_recovered *ret, const char *word, const char *detail)
{
	ret->outcome = word;
	snprintf(ret->detail, sizeof(ret->detail), "%.*s", (int)sizeof(ret->detail) - 1, detail);
}

static int commit_ready(const struct volume_env *env, struct record *r, const char *detail,
			struct volume_recovered *ret, struct error *e)
{
	int result = 0, slot;
	AUTOCONTAINER struct container *c = NULL;
	/* The geometry of a create is known only from the finished file. */
	result = volume_prove(r, volume_header_path(r), &slot, e);
	if (result == 0)
		result = container_open(volume_header_path(r),
					volume_image_format(r),
					CONTAINER_CHANGE, &c, e);
	/* A LUKS2 header of which one copy had been written was made whole in memory. */
	if (result == 0)
		result = container_write_back(c, e);
	if (result < 0)
		return result;
	r->geometry.header_offset = container_info(c)->header_offset;
	r->geometry.header_length = container_info(c)->header_length;
	r->state = RECORD_READY;
	free(TAKE_PTR(r->beside));
	result = keystore_put(env->ks, r, "recover", detail, e);
	if (result == 0)
		outcome(ret, "finished", detail);
	return result;
}

static int drop_record(const struct volume_env *env, struct record *r, const char *detail,
		       struct volume_recovered *ret, struct error *e)
{
	int result = keystore_remove(env->ks, r, "recover", detail, e);
	if (result == 0)
		outcome(ret, "undone", detail);
	return result;
}

/* Only a name that create itself makes may be removed, whatever a record says. */
static void remove_temporary(const char *path)
{
	size_t len = strlen(path), n = strlen(FILE_NEW_SUFFIX);
	if (len > n && !strcmp(path + len - n, FILE_NEW_SUFFIX))
		unlink(path);
}

/*
 * A detached header gets its name before the data does. Without data it is taken back, if it is
 * ours: the record's key opens it. 1: there was no data.
 */
static int recover_detached(const struct record *r, bool unfinished, struct error *e)
{
	int slot;
	AUTOFILE_NEW struct file_new *header = NULL;
	if (!r->header_path)
		return 0;
	int ret = create_raw_plan_header(r->header_path, r->uuid, &header, e);
	if (ret < 0)
		return ret;
	remove_temporary(header->tmp);
	if (!unfinished && volume_path_taken(r->path))
		return 0;
	if (volume_prove(r, r->header_path, &slot, NULL) == 0)
		unlink(r->header_path);
	return 1;
}

static int recover_create(const struct volume_env *env, struct record *r, struct volume_recovered *ret,
			  struct error *e)
{
	int slot, result = 0;
	struct image_look look = { 0 };
	struct error why = { 0 };
	bool unfinished = r->beside && volume_path_taken(r->beside);
	/* The kernel may still be writing to it for the one that died. */
	if (r->format == RECORD_FORMAT_RAW)
		result = create_raw_unmap(r, e);
	if (result == 0 && r->beside)
		remove_temporary(r->beside);
	if (result == 0)
		result = recover_detached(r, unfinished, e);
	if (result < 0)
		return result;
	if (result == 1)
		return drop_record(env, r, "the image was not complete and was removed", ret, e);
	/* Renamed: it was synced and proven before, so only the record is behind. */
	if (volume_prove(r, volume_header_path(r), &slot, &why) == 0)
		return commit_ready(env, r, "the image was complete", ret, e);
	if (why.kind == ERROR_FAILED) {
		*e = why;
		return -why.err;
	}
	/* Renamed and damaged since: the record may be what rebuilds its header. */
	if (image_look(r->path, &look, NULL) == 0 && uuid_compare(look.luks_uuid, r->luks_uuid) == 0) {
		outcome(ret, "needs_attention", why.message);
		return 0;
	}
	return drop_record(env, r, "the image was not complete and was removed", ret, e);
}

static int recover_import(const struct volume_env *env, struct record *r, struct volume_recovered *ret,
			  struct error *e)
{
	int slot;
	struct error why = { 0 };
	if (volume_prove(r, volume_header_path(r), &slot, &why) == 0)
		return commit_ready(env, r, "our keyslot was there", ret, e);
	/* Our keyslot opens nothing, so the record is worth nothing and the image was not changed. */
	if (why.kind == ERROR_BAD_KEY)
		return drop_record(env, r, "our keyslot had not been written; the image is as it was", ret, e);
	/* Damaged: the record may be what rebuilds the header one day, so it stays. */
	if (why.kind == ERROR_NOT_FOUND || why.kind == ERROR_DAMAGED) {
		outcome(ret, "needs_attention", why.message);
		return 0;
	}
	*e = why;
	return -why.err;
}

static int recover_erase(const struct volume_env *env, struct record *r, int lock,
			 struct volume_recovered *ret, struct error *e)
{
	const struct volume_erase keep = { .keep_file = true };
	/* volume_erase() takes the same lock. */
	close(lock);
	bool destroyed = false;
	int result = volume_erase(env, r, &keep, &destroyed, e);
	if (result == 0)
		outcome(ret, "finished", destroyed ? "keyslots and record destroyed; the file itself was kept"
						   : "the record was destroyed; no image of it was there any more");
	return result;
}

/* The image says how far the resize got: either it has the new size or the old one. With integrity it goes back. */
static int recover_resize(const struct volume_env *env, struct record *r, struct volume_recovered *ret,
			  struct error *e)
{
	char detail[96];
	uint64_t size;
	int result = r->integrity ? resize_integrity_undo(r, e) : 0;
	if (result == 0)
		result = volume_actual_size(r, &size, e);
	if (result < 0)
		return result;
	bool same = r->size == size;
	r->size = size;
	r->state = RECORD_READY;
	snprintf(detail, sizeof(detail), "the image has %llu bytes", (unsigned long long)r->size);
	result = keystore_put(env->ks, r, "recover", detail, e);
	if (result == 0)
		outcome(ret, same ? "undone" : "finished", detail);
	return result;
}

static int recover_rotate(const struct volume_env *env, struct guest_connection *g, struct record *r,
			  struct volume_recovered *ret, struct error *e)
{
	bool finished = false;
	int result = volume_rotate_settle(env, g, r, &finished, e);
	if (result == 0)
		outcome(ret, finished ? "finished" : "undone",
			finished ? "the new passphrase is in force, the old keyslot is destroyed"
				 : "the old passphrase is in force, the new keyslot is destroyed");
	return result;
}

static int recover_reencrypt(const struct volume_env *env, struct guest_connection *g, struct record *r,
			     struct volume_recovered *ret, struct error *e)
{
	bool finished = false, copied = r->beside;
	int result = volume_reencrypt_settle(env, g, r, &finished, e);
	if (result == 0)
		outcome(ret, finished ? "finished" : "undone",
			finished ? "the volume has its new volume key" :
			copied	 ? "the volume has its old volume key, the copy was removed" :
				   "the volume has its old volume key, nothing had been encrypted anew");
	return result;
}

int volume_recover(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		   struct volume_recovered *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOCLOSE int lock = -1;
	struct error busy = { 0 };
	*ret = (struct volume_recovered){ .was = RECORD_READY, .outcome = "finished" };
	int result = volume_lock(env->ks, volume, false, &lock, &busy);
	if (result == -EBUSY) {
		outcome(ret, "in_progress", busy.message);
		return 0;
	}
	if (result < 0) {
		*e = busy;
		return result;
	}
	result = keystore_get(env->ks, volume, &r, e);
	if (result < 0)
		return result;
	ret->was = r->state;
	if (r->state == RECORD_READY && !r->beside)
		return 0;
	result = keystore_reveal(env->ks, &r, 1, "recover", NULL, e);
	if (result < 0)
		return result;
	if (r->state == RECORD_READY)
		return reencrypt_drop_link(env, g, r, e);
	switch (r->state) {
	case RECORD_CREATING:
		return recover_create(env, r, ret, e);
	case RECORD_IMPORTING:
		return recover_import(env, r, ret, e);
	case RECORD_ERASING:
		return recover_erase(env, r, TAKE_FD(lock), ret, e);
	case RECORD_ROTATING:
	case RECORD_RETIRING:
		return recover_rotate(env, g, r, ret, e);
	case RECORD_CONVERTING:
	case RECORD_PIVOTING:
		return recover_reencrypt(env, g, r, ret, e);
	case RECORD_RESIZING:
		return recover_resize(env, r, ret, e);
	default:
		outcome(ret, "needs_attention", "this version does not know the workflow it is in");
		return 0;
	}
}
