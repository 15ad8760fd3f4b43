/* The copy of a file under its new volume key. */
#include "lib/workflow/reencrypt/internal.h"

#include "base/file.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"
#include "lib/image/recrypt/recrypt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct copy {
	int from, to;
	uint64_t size;
	struct stat st;		/* of the old file */
	bool fresh;		/* the new file was empty */
	struct qcow2_map map;
};

static void copy_clear(struct copy *c)
{
	cleanup_close(&c->from);
	cleanup_close(&c->to);
	qcow2_map_clear(&c->map);
}

static int open_target(const struct record *r, struct copy *c, struct error *e)
{
	c->to = open(r->beside, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->to < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot create %s", r->beside);
	struct stat st;
	int result = image_lock(c->to, r->beside, e);
	c->fresh = result == 0 && fstat(c->to, &st) == 0 && st.st_blocks == 0;
	if (result == 0 && ftruncate(c->to, c->st.st_size) < 0)
		result = error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", r->beside);
	return result;
}

/* Owner, mode, labels and access lists, as far as they can be set here. */
static int copy_attributes(const struct record *r, const struct copy *c, struct error *e)
{
	char names[4096], value[4096];
	ssize_t len = flistxattr(c->from, names, sizeof(names));
	for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
		ssize_t n = fgetxattr(c->from, name, value, sizeof(value));
		if (n >= 0 && fsetxattr(c->to, name, value, (size_t)n, 0) < 0 && errno != ENOTSUP && errno != EPERM)
			return error_errno(e, ERROR_FAILED, errno, "cannot set attribute %s of the copy of %s", name, r->path);
	}
	if (fchown(c->to, c->st.st_uid, c->st.st_gid) < 0 || fchmod(c->to, c->st.st_mode & 07777) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot give the copy of %s its owner and mode", r->path);
	return 0;
}

static int write_header(struct record *r, const struct copy *c, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	const unsigned char *bytes;
	size_t len;
	int result = reencrypt_header(r, &l, e);
	if (result == 0 && c->fresh)
		return luks_write_used(l, 0, r->geometry.header_length, c->to, r->geometry.header_offset, r->beside, e);
	/* An earlier run may have come as far as here: over all that it wrote. */
	if (result == 0)
		result = luks_bytes(l, &bytes, &len, e);
	if (result == 0)
		result = file_pwrite(c->to, bytes, r->geometry.header_length, r->geometry.header_offset, r->beside, e);
	return result;
}

static int copy_data(const struct volume_env *env, struct record *r, struct container *old, struct copy *c,
		     uint64_t *ret_kept, struct error *e)
{
	const struct container_info *info = container_info(old);
	const struct luks_info *luks = luks_info(container_luks(old));
	bool qcow2 = r->format == RECORD_FORMAT_QCOW2;
	int result = 0;
	if (luks->iv_tweak || luks->data_size || luks->data_offset % luks->sector_size)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP, "%s has an unusual LUKS2 segment, which is not copied", r->path);
	if (qcow2)
		result = qcow2_map_read(c->from, info->file_size, r->path, &info->qcow2, &c->map, e);
	if (result < 0)
		return result;
	uint64_t start = qcow2 ? 0 : luks->data_offset;
	struct recrypt job = {
		.from = { c->from, r->path, r->volume_key },
		.to = { c->to, r->beside, r->next_volume_key },
		/* A rest that is no whole sector is no data. */
		.size = info->file_size - (info->file_size - start) % luks->sector_size,
		.sector_size = luks->sector_size,
		.header_offset = info->header_offset,
		.header_length = info->header_length,
		.data_offset = start,
		.map = qcow2 ? &c->map : NULL,
		.fresh = c->fresh,
		.progress = env->progress,
	};
	return recrypt_run(&job, ret_kept, e);
}

/* The new file is whole: it takes the old one's name, and the old header's keys are destroyed. */
static int replace(const struct volume_env *env, struct record *r, struct container *old, struct error *e)
{
	struct error why = { 0 };
	if (rename(r->beside, r->path) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot rename the copy to %s", r->path);
	int result = file_sync_dir_of(r->path, e);
	if (result == 0)
		result = reencrypt_adopt(r, r->path, e);
	/* Nobody else has the old file now; its blocks go back to the file system as noise. */
	if (result == 0 && container_erase(old, &why) < 0)
		volume_note(env, "the old image is gone, but its LUKS header could not be overwritten: %s", why.message);
	return result;
}

int reencrypt_copy(const struct volume_env *env, struct record *r, struct volume_reencrypted *ret, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	CLEANUP(copy_clear) struct copy c = { .from = -1, .to = -1 };
	/* Locked to the end: nobody can write what would not be in the copy. */
	int result = volume_open_header(r, CONTAINER_CHANGE, &old, e);
	if (result == 0)
		result = image_open(r->path, false, &c.from, &c.size, e);
	if (result == 0 && fstat(c.from, &c.st) < 0)
		result = error_errno(e, ERROR_FAILED, errno, "cannot stat %s", r->path);
	if (result == 0)
		result = reencrypt_check_space(r, e);
	if (result == 0)
		result = open_target(r, &c, e);
	if (result == 0)
		result = copy_attributes(r, &c, e);
	if (result == 0)
		result = write_header(r, &c, e);
	if (result == 0)
		result = copy_data(env, r, old, &c, &ret->kept, e);
	if (result == 0)
		result = file_sync(c.to, r->beside, e);
	/* The data was read back, and now the header: after this the old image goes. */
	if (result == 0)
		result = reencrypt_prove(r, r->beside, e);
	if (result < 0)
		return error_prefix(e, "%s keeps its volume key", r->path);
	ret->bytes = c.size;
	return replace(env, r, old, e);
}
