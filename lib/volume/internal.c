#include "lib/volume/internal.h"

#include "base/file.h"
#include "base/walk.h"
#include "lib/image/file/open.h"
#include "lib/image/mapping/integrity.h"
#include "lib/image/file/plain_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void volume_note(const struct volume_env *env, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	if (!env->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	env->note(env->note_context, text);
}

int volume_new_record(const char *path, const char *header, const char *integrity, const char *backing,
		      struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = record_new(&r, e);
	if (result < 0)
		return result;
	const struct {
		char **to;
		const char *from;
	} names[] = {
		{ &r->path, path }, { &r->header_path, header }, { &r->integrity, integrity }, { &r->backing, backing },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].from && !(*names[i].to = strdup(names[i].from)))
			return error_oom(e);
	r->revealed = 1;
	*ret = TAKE_PTR(r);
	return 0;
}

static int find_parent(struct keystore *ks, const char *path, struct record **ret, struct error *e)
{
	struct image_look look;
	struct error why = { 0 };
	int result = volume_at(ks, path, ret, e);
	if (result < 0 || *ret || image_look(path, &look, NULL) < 0 || !look.encrypted)
		return result;
	result = keystore_find_luks(ks, look.luks_uuid, ret, &why);
	return result < 0 && why.kind != ERROR_NOT_FOUND ? error_pass(e, &why) : 0;
}

int volume_note_parent(struct keystore *ks, struct record *r, const char *format, struct error *e)
{
	AUTORECORD struct record *parent = NULL;
	int result = r->backing ? find_parent(ks, r->backing, &parent, e) : 0;
	if (result < 0 || !r->backing)
		return result;
	uuid_clear(r->parent);
	free(TAKE_PTR(r->parent_format));
	if (parent)
		uuid_copy(r->parent, parent->uuid);
	else if (format && *format && !(r->parent_format = strdup(format)))
		return error_oom(e);
	return 0;
}

int volume_at(struct keystore *ks, const char *path, struct record **ret, struct error *e)
{
	struct error why = { 0 };
	*ret = NULL;
	if (keystore_find_path(ks, path, ret, &why) < 0 && why.kind != ERROR_NOT_FOUND)
		return error_pass(e, &why);
	return 0;
}

enum record_format volume_record_format(enum image_format format)
{
	return format == IMAGE_FORMAT_QCOW2 ? RECORD_FORMAT_QCOW2 : RECORD_FORMAT_RAW;
}

enum image_format volume_image_format(const struct record *r)
{
	return r->format == RECORD_FORMAT_QCOW2 ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW;
}

int volume_canonical(const char *path, char **ret, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_path(path, &w, e);
	if (r == 0 && w.fd >= 0 && S_ISBLK(w.st.st_mode))
		return file_canonical_dir(path, ret, e);
	if (r == 0)
		*ret = TAKE_PTR(w.path);
	return r;
}

const char *volume_header_path(const struct record *r)
{
	return r->header_path ? r->header_path : r->path;
}

int volume_open_header(const struct record *r, enum container_mode mode, struct container **ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = container_open(volume_header_path(r), volume_image_format(r), mode, &c, e);
	if (result == -EMEDIUMTYPE)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s: the LUKS header is gone (`kvmcrypt header restore %s` can rebuild it)",
				 volume_header_path(r), r->path);
	if (result == 0)
		result = volume_check_binding(r, luks_info(container_luks(c)), e);
	if (result == 0)
		*ret = TAKE_PTR(c);
	return result;
}

/* Ours has this many iterations at most. */
#define OUR_ITERATIONS_MAX 10000

static int try_cheap(struct luks *luks, const struct secret *passphrase, struct secret **ret_volume_key)
{
	const struct luks_info *info = luks_info(luks);
	for (int i = 0; i < info->n_keyslots; i++) {
		int slot;
		if (info->keyslots[i].active && !strcmp(info->keyslots[i].kdf, "pbkdf2") &&
		    info->keyslots[i].iterations <= OUR_ITERATIONS_MAX &&
		    luks_unlock(luks, info->keyslots[i].slot, passphrase, &slot, ret_volume_key, NULL) == 0)
			return slot;
	}
	return -1;
}

int volume_cheap_slot(struct luks *luks, const struct secret *passphrase)
{
	return try_cheap(luks, passphrase, NULL);
}

int volume_unlock_cheap(struct luks *luks, const struct secret *passphrase, int *ret_slot,
			struct secret **ret_volume_key, struct error *e)
{
	int slot = try_cheap(luks, passphrase, ret_volume_key);
	if (slot < 0)
		return luks_unlock(luks, -1, passphrase, ret_slot, ret_volume_key, e);
	*ret_slot = slot;
	return 0;
}

int volume_check_here(const struct record *r, struct error *e)
{
	if (!r->moved || !r->moved[0])
		return 0;
	return error_set(e, ERROR_REFUSED, EREMOTE,
			 "%s was moved to host %s, which may be using it: nothing is changed from here until it comes "
			 "back (`kvmcrypt keystore forget` drops the record)", r->path, r->moved);
}

static int prove(struct container *c, const struct record *r, const char *path, int *ret_slot, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	struct luks *luks = container_luks(c);
	int ret = volume_check_binding(r, luks_info(luks), e);
	if (ret < 0)
		return ret;
	ret = volume_unlock_cheap(luks, r->passphrase, ret_slot, &key, e);
	if (ret < 0)
		return ret;
	if (!secret_equal(key, r->volume_key))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s has another volume key than its record", path);
	return 0;
}

int volume_prove(const struct record *r, const char *path, int *ret_slot, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int ret = container_open(path, volume_image_format(r), CONTAINER_LOOK, &c, e);
	return ret < 0 ? ret : prove(c, r, path, ret_slot, e);
}

int volume_prove_new(struct record *r, const char *path, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int slot, ret = container_open(path, volume_image_format(r), CONTAINER_LOOK, &c, e);
	if (ret == 0)
		ret = prove(c, r, path, &slot, e);
	if (ret < 0)
		return ret;
	r->geometry.header_offset = container_info(c)->header_offset;
	r->geometry.header_length = container_info(c)->header_length;
	return 0;
}

int volume_reread(struct keystore *ks, struct record **r, const char *purpose, struct error *e)
{
	AUTORECORD struct record *fresh = NULL;
	int ret = keystore_get(ks, (*r)->uuid, &fresh, e);
	if (ret == 0)
		ret = keystore_reveal(ks, &fresh, 1, purpose, NULL, e);
	if (ret < 0)
		return ret;
	record_free(*r);
	*r = TAKE_PTR(fresh);
	return 0;
}

int volume_new_path(const char *path, char **ret, struct error *e)
{
	AUTOFREE char *whole = NULL;
	int r = volume_canonical(path, &whole, e);
	if (r < 0)
		return r;
	const char *problem = plain_path_problem(whole);
	if (problem)
		return error_set(e, ERROR_USAGE, EINVAL, "the path '%s' %s", whole, problem);
	*ret = TAKE_PTR(whole);
	return 0;
}

int volume_check_place(const char *path, uid_t owner, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_name(path, &w, e);
	return r < 0 ? r : walk_check_new(&w, owner, e);
}

bool volume_path_taken(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

/* With a detached header the data file is the disk and nothing else. */
static int data_size(const struct record *r, uint64_t *ret, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	int result = image_open(r->path, false, &fd, &size, e);
	if (result == 0 && r->integrity)
		return integrity_size(fd, r->path, 0, ret, e);
	if (result == 0)
		*ret = size;
	return result;
}

int volume_actual_size(const struct record *r, uint64_t *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = container_open(volume_header_path(r), volume_image_format(r), CONTAINER_LOOK, &c, e);
	if (result == 0)
		result = volume_check_binding(r, luks_info(container_luks(c)), e);
	if (result == 0 && r->header_path)
		return data_size(r, ret, e);
	if (result == 0)
		*ret = container_info(c)->size;
	return result;
}
