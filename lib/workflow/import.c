#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 0: not known; 1: this very image is a volume already (record in *ret). */
static int check_known(const struct volume_env *env, const char *path, const struct luks_info *info,
		       struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct error none = { 0 };
	int found = keystore_find_path(env->ks, path, &r, &none);
	if (found == -ENOENT) {
		none = (struct error){ 0 };
		found = keystore_find_luks(env->ks, info->uuid, &r, &none);
		if (found == 0)
			return error_set(e, ERROR_EXISTS, EEXIST,
					 "%s has the LUKS UUID of the volume at %s: a copy needs its own UUID and key first",
					 path, r->path);
	}
	if (found == -ENOENT)
		return 0;
	if (found < 0) {
		*e = none;
		return found;
	}
	if (r->state == RECORD_IMPORTING) {
		struct volume_recovered done;
		int rec = volume_recover(env, NULL, r->uuid, &done, e);
		if (rec < 0)
			return rec;
		if (!strcmp(done.outcome, "undone"))
			return 0;
		record_free(TAKE_PTR(r));
		found = keystore_find_path(env->ks, path, &r, e);
		if (found < 0)
			return found;
	}
	if (volume_check_binding(r, info, NULL) < 0)
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "the keystore has another volume for %s: mount its file system, or `kvmcrypt move` it to where it is now",
				 path);
	*ret = TAKE_PTR(r);
	return 1;
}

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

/* As create names it; a kind that create does not make is named as the header does. */
static int fill_integrity(struct record *r, const struct luks_info *info, struct error *e)
{
	if (!info->integrity[0])
		return 0;
	r->integrity = strdup(!strcmp(info->integrity, "hmac(sha256)") ? "hmac-sha256" : info->integrity);
	return r->integrity ? 0 : error_oom(e);
}

static int make_record(const char *path, const char *header, struct container *c, struct secret **volume_key,
		       struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	const struct container_info *info = container_info(c);
	int result = record_new(&r, e);
	if (result == 0)
		result = secret_generate_passphrase(&r->passphrase, e);
	if (result < 0)
		return result;
	uuid_generate_random(r->uuid);
	r->generation = 1;
	r->state = RECORD_IMPORTING;
	r->path = strdup(path);
	if (!r->path)
		return error_oom(e);
	r->format = info->format == IMAGE_FORMAT_QCOW2 ? RECORD_FORMAT_QCOW2 : RECORD_FORMAT_RAW;
	r->size = info->size;
	if (header && (!(r->header_path = strdup(header)) || (result = detached_size(path, c, &r->size, e)) < 0))
		return r->header_path ? result : error_oom(e);
	if ((result = fill_integrity(r, luks_info(container_luks(c)), e)) < 0)
		return result;
	if (info->qcow2.backing[0] && (result = canonical_backing(path, info->qcow2.backing, &r->backing, e)) < 0)
		return result;
	r->created = r->rotated = (int64_t)time(NULL);
	volume_fill_from_luks(r, luks_info(container_luks(c)), info->header_offset, info->header_length);
	r->volume_key = TAKE_PTR(*volume_key);
	r->revealed = 1;
	*ret = TAKE_PTR(r);
	return 0;
}

/* Adds our keyslot on disk and proves it by opening the file anew. */
static int add_our_keyslot(struct container *c, const struct record *r, int *ret_slot, struct error *e)
{
	int ret = luks_add_keyslot(container_luks(c), -1, r->volume_key, r->passphrase, LUKS_KDF_GENERATED,
				   ret_slot, e);
	if (ret == 0)
		ret = container_write_back(c, e);
	if (ret == 0)
		ret = volume_prove(r, volume_header_path(r), ret_slot, e);
	return ret;
}

/*
 * Every keyslot that the given passphrase opens, but never our own. Only after the record is
 * committed: until then the old passphrase is the one that surely opens.
 */
static int remove_given_keyslots(const struct volume_env *env, const struct volume_import *p,
				 struct container *c, int ours, struct error *e)
{
	struct error why = { 0 };
	int slot, ret, removed = 0;
	while ((ret = luks_unlock(container_luks(c), -1, p->passphrase, &slot, NULL, &why)) == 0 && slot != ours) {
		ret = luks_remove_keyslot(container_luks(c), slot, e);
		if (ret == 0)
			ret = container_write_back(c, e);
		if (ret < 0)
			return error_prefix(e, "imported, but the old keyslot %d is still there", slot);
		volume_note(env, "keyslot %d, which the given passphrase opened, was destroyed", slot);
		removed++;
	}
	if (!removed && why.kind == ERROR_BAD_KEY)
		volume_note(env, "the given passphrase opens no keyslot of %s: nothing to replace", p->path);
	if (ret == 0 || why.kind == ERROR_BAD_KEY)
		return 0;
	*e = why;
	return ret;
}

/* --replace of an image that was imported before: without it, or killed before its last step. */
static int replace_known(const struct volume_env *env, const struct volume_import *p, struct container *c,
			 struct record *r, struct error *e)
{
	int ours;
	int ret = volume_check_ready(r, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, &r, 1, "import", r->path, e);
	if (ret == 0)
		ret = volume_prove(r, volume_header_path(r), &ours, e);
	return ret < 0 ? ret : remove_given_keyslots(env, p, c, ours, e);
}

int volume_import(const struct volume_env *env, const struct volume_import *p, struct record **ret,
		  bool *ret_existed, struct error *e)
{
	AUTOFREE char *path = NULL, *header = NULL;
	AUTOCONTAINER struct container *c = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOSECRET struct secret *volume_key = NULL;
	AUTOCLOSE int lock = -1;
	int slot, ours;

	int r = volume_new_path(p->path, &path, e);
	if (r == 0 && p->header)
		r = file_canonical(p->header, &header, e);
	if (r == 0)
		r = container_open(header ? header : path, header ? IMAGE_FORMAT_RAW : p->format,
				   p->dry_run ? CONTAINER_LOOK : CONTAINER_CHANGE, &c, e);
	if (r < 0)
		return r;
	const struct luks_info *info = luks_info(container_luks(c));
	r = check_known(env, path, info, &record, e);
	if (r < 0)
		return r;
	*ret_existed = r == 1;
	if (r == 1) {
		if (p->replace && !p->dry_run && (r = replace_known(env, p, c, record, e)) < 0)
			return r;
		*ret = TAKE_PTR(record);
		return 0;
	}
	r = luks_unlock(container_luks(c), -1, p->passphrase, &slot, &volume_key, e);
	if (r < 0)
		return error_prefix(e, "%s", path);
	r = make_record(path, header, c, &volume_key, &record, e);
	if (r < 0)
		return r;
	if (p->dry_run) {
		*ret = TAKE_PTR(record);
		return 0;
	}
	if ((r = volume_lock(env->ks, record->uuid, false, &lock, e)) < 0 ||
	    (r = keystore_put(env->ks, record, "import-begin", path, e)) < 0)
		return r;
	r = add_our_keyslot(c, record, &ours, e);
	if (r < 0)
		return error_prefix(e, "%s was not imported (`kvmcrypt recover` clears what is left)", path);
	record->state = RECORD_READY;
	r = keystore_put(env->ks, record, "import", path, e);
	if (r == 0 && p->replace)
		r = remove_given_keyslots(env, p, c, ours, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(record);
	return 0;
}
