/* Opening a container: which format, where the LUKS header is, a checked copy of it. */
#include "lib/image/container_internal.h"

#include "base/file.h"
#include "lib/image/mapping/integrity.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All of a LUKS1 header's fields, and the first copy of a LUKS2 header's as it is made by default. */
#define HEAD_LEN (16u * 1024)

const char *image_format_name(enum image_format f)
{
	return f == IMAGE_FORMAT_QCOW2 ? "qcow2" : f == IMAGE_FORMAT_RAW ? "raw" : "auto";
}

/* Most of a LUKS2 header is unused, and mostly a hole: neither read nor given memory. */
static int read_bytes(int fd, const char *path, uint64_t offset, uint64_t len, unsigned char **ret,
		      struct error *e)
{
	AUTOFREE unsigned char *bytes = calloc(1, len ? (size_t)len : 1);
	uint64_t from, to, size, end = offset + len;
	if (!bytes)
		return error_oom(e);
	int r = file_size(fd, path, &size, e);
	if (r == 0 && size < end)
		return error_set(e, ERROR_DAMAGED, ENODATA, "%s is too short", path);
	for (uint64_t at = offset; r == 0 && at < end; at = to) {
		r = file_next_data(fd, at, end, &from, &to, path, e);
		if (r == 0 && from < end)
			r = file_pread(fd, bytes + (from - offset), (size_t)(to - from), from, path, e);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(bytes);
	return 0;
}

/*
 * The LUKS header's region. For looking at a LUKS1 header, what is in use of it: its first page and the
 * keyslots, of which there are one or two in 2 MiB. What was not read is zeros.
 */
static int read_header(int fd, const char *path, const struct container_info *info, bool whole,
		       unsigned char **ret, struct error *e)
{
	struct luks_info luks;
	uint64_t at = info->header_offset, len = info->header_length;
	if (whole || len <= HEAD_LEN)
		return read_bytes(fd, path, at, len, ret, e);
	AUTOFREE unsigned char *bytes = calloc(1, (size_t)len);
	if (!bytes)
		return error_oom(e);
	int r = file_pread(fd, bytes, HEAD_LEN, at, path, e);
	if (r < 0)
		return r;
	/* LUKS2, or one that is damaged: let luks_load() have it all. */
	if (luks1_check(bytes, HEAD_LEN, len, 0, &luks, NULL) < 0)
		return read_bytes(fd, path, at, len, ret, e);
	for (int i = 0; i < luks.n_keyslots; i++) {
		const struct luks_keyslot *k = &luks.keyslots[i];
		if (!k->active)
			continue;
		if ((r = file_pread(fd, bytes + k->key_offset, (size_t)k->key_length, at + k->key_offset, path, e)) < 0)
			return r;
	}
	*ret = TAKE_PTR(bytes);
	return 0;
}

static int not_luks(const char *path, struct error *e)
{
	return error_set(e, ERROR_USAGE, EMEDIUMTYPE, "%s is not encrypted with LUKS", path);
}

static int find_in_qcow2(int fd, const char *path, struct container_info *info, bool whole,
			 unsigned char **ret_bytes, struct error *e)
{
	int r = qcow2_read(fd, info->file_size, path, &info->qcow2, e);
	if (r < 0)
		return r;
	info->format = IMAGE_FORMAT_QCOW2;
	info->size = info->qcow2.size;
	if (info->qcow2.crypt != QCOW2_CRYPT_LUKS)
		return not_luks(path, e);
	info->header_offset = info->qcow2.luks_offset;
	info->header_length = info->qcow2.luks_length;
	return read_header(fd, path, info, whole, ret_bytes, e);
}

/*
 * The head tells all of LUKS1, and of a LUKS2 header that is as it should be: how long it is stands
 * in its JSON. The second copy, at one of a few places in the first 4 MiB, counts when the first is damaged.
 */
static int find_in_raw(int fd, const char *path, struct container_info *info, bool whole,
		       unsigned char **ret_bytes, struct error *e)
{
	AUTOFREE unsigned char *probe = NULL;
	uint64_t len = info->file_size < HEAD_LEN ? info->file_size : HEAD_LEN;
	int r = read_bytes(fd, path, 0, len, &probe, e);
	if (r < 0)
		return r;
	if (luks_region_of(probe, len, &info->header_length, NULL) < 0) {
		free(TAKE_PTR(probe));
		len = info->file_size < LUKS_PROBE_LEN ? info->file_size : LUKS_PROBE_LEN;
		if ((r = read_bytes(fd, path, 0, len, &probe, e)) < 0)
			return r;
	}
	if (!luks_version_of(probe, len))
		return not_luks(path, e);
	if ((r = luks_region_of(probe, len, &info->header_length, e)) < 0)
		return error_prefix(e, "%s", path);
	if (info->header_length > info->file_size)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: the LUKS header is cut off", path);
	info->format = IMAGE_FORMAT_RAW;
	info->header_offset = 0;
	return read_header(fd, path, info, whole, ret_bytes, e);
}

int container_find(int fd, const char *path, enum image_format format, bool whole, struct container_info *info,
		   unsigned char **ret_bytes, struct error *e)
{
	unsigned char magic[8] = { 0 };
	int r = 0;
	if (info->file_size >= sizeof(magic) &&
	    (r = file_pread(fd, magic, sizeof(magic), 0, path, e)) < 0)
		return r;
	bool qcow2 = qcow2_is(magic, sizeof(magic));
	/* A guest could have written either magic into the other format: never guess against the word. */
	if (format == IMAGE_FORMAT_RAW && qcow2)
		return error_set(e, ERROR_USAGE, EMEDIUMTYPE, "%s is a qcow2 image, not raw", path);
	if (format == IMAGE_FORMAT_QCOW2 && !qcow2)
		return error_set(e, ERROR_USAGE, EMEDIUMTYPE, "%s is not a qcow2 image", path);
	return qcow2 ? find_in_qcow2(fd, path, info, whole, ret_bytes, e)
		     : find_in_raw(fd, path, info, whole, ret_bytes, e);
}

int container_raw_size(int fd, const char *path, uint64_t file_size, const struct luks_info *luks,
		       uint64_t *ret, struct error *e)
{
	/* A detached header tells nothing of the size of its data. */
	if (luks->integrity[0] && luks->data_offset)
		return integrity_size(fd, path, luks->data_offset, ret, e);
	*ret = luks->data_size ? luks->data_size : file_size - luks->data_offset;
	return 0;
}

/* In qcow2 the payload offset is a field nobody uses; in raw it is where the disk begins. */
static int load(struct container *c, struct error *e)
{
	struct container_info *info = &c->info;
	bool raw = info->format == IMAGE_FORMAT_RAW;
	int (*how)(const void *, size_t, uint64_t, struct luks **, struct error *) =
		c->mode == CONTAINER_CHANGE ? luks_load : luks_load_used;
	int r = how(c->on_disk, (size_t)info->header_length, raw ? info->file_size : 0, &c->luks, e);
	if (r < 0)
		return error_prefix(e, "%s", c->path);
	const struct luks_info *luks = luks_info(c->luks);
	if (!raw && luks->version != 1)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s: a LUKS%d header in a qcow2 image, where QEMU reads LUKS1 only",
				 c->path, luks->version);
	const char *why;
	if (!raw && !luks_qemu_can_open(luks, &why))
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s: QEMU does not know %s (%s, %u bits, %s), and nothing else reads a qcow2", c->path,
				 why, luks->cipher, luks->key_bits, luks->hash);
	c->disk_info = *luks;
	return raw ? container_raw_size(c->fd, c->path, info->file_size, luks, &info->size, e) : 0;
}

/* fd -1: what lies at path. */
static int begin(int fd, const char *path, enum image_format format, enum container_mode mode, struct container **ret,
		 struct error *e)
{
	AUTOCONTAINER struct container *c = calloc(1, sizeof(*c));
	int r;
	if (!c)
		return error_oom(e);
	c->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	c->mode = mode;
	if (fd >= 0 && c->fd < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot look at %s", path);
	if (!(c->path = strdup(path)))
		return error_oom(e);
	if ((c->fd < 0 && (r = image_open(path, mode == CONTAINER_CHANGE, &c->fd, &c->info.file_size, e)) < 0) ||
	    (mode == CONTAINER_CHANGE && (r = image_lock(c->fd, path, e)) < 0) ||
	    /* Again: until the lock was ours somebody could resize it. */
	    (r = file_size(c->fd, path, &c->info.file_size, e)) < 0 ||
	    (r = container_find(c->fd, path, format, mode == CONTAINER_CHANGE, &c->info, &c->on_disk, e)) < 0 ||
	    (r = load(c, e)) < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

int container_open(const char *path, enum image_format format, enum container_mode mode,
		   struct container **ret, struct error *e)
{
	return begin(-1, path, format, mode, ret, e);
}

int container_look(int fd, const char *path, enum image_format format, struct container **ret, struct error *e)
{
	return begin(fd, path, format, CONTAINER_LOOK, ret, e);
}

void container_free(struct container *c)
{
	if (!c)
		return;
	luks_free(c->luks);
	cleanup_close(&c->fd);
	free(c->on_disk);
	free(c->path);
	free(c);
}

const struct container_info *container_info(const struct container *c)
{
	return &c->info;
}

struct luks *container_luks(struct container *c)
{
	return c->luks;
}

int container_fd(const struct container *c)
{
	return c->fd;
}
