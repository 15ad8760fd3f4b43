#include "lib/image/file/copy.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#define CHUNK (1024u * 1024)
/* Left free beyond the data: the file system's own tables for it. */
#define SPARE (4u * 1024 * 1024)

struct buffers {
	unsigned char *a, *b;
};

static void buffers_free(struct buffers *b)
{
	free(b->a);
	free(b->b);
}

/* What had all its blocks is to have them here. */
static int reserve(const struct image_copy *c, const struct stat *st, struct error *e)
{
	if (ftruncate(c->to, st->st_size) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", c->to_path);
	if (!st->st_size || (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size)
		return 0;
	int err = posix_fallocate(c->to, 0, st->st_size);
	return err && err != EOPNOTSUPP && err != EINVAL
		       ? error_errno(e, ERROR_FAILED, err, "cannot reserve space for %s", c->to_path)
		       : 0;
}

static int stopped(const struct image_copy *c, const char *what, uint64_t done, uint64_t total, struct error *e)
{
	return progress_report(c->progress, what, done, total) ? error_set(e, ERROR_FAILED, ECANCELED, "stopped") : 0;
}

static int copy(const struct image_copy *c, uint64_t size, const struct buffers *b, struct error *e)
{
	uint64_t from, to;
	int r = 0;
	for (uint64_t at = 0; at < size && r == 0; at = to) {
		if ((r = file_next_data(c->from, at, size, &from, &to, c->from_path, e)) < 0 || from >= size)
			return r;
		to = to - from > CHUNK ? from + CHUNK : to;
		r = file_pread(c->from, b->a, (size_t)(to - from), from, c->from_path, e);
		if (r == 0)
			r = file_pwrite(c->to, b->a, (size_t)(to - from), from, c->to_path, e);
		if (r == 0)
			r = stopped(c, "copying", to, size, e);
	}
	return r;
}

/* Where one has a hole the other must have zeros. */
static int compare(const struct image_copy *c, uint64_t size, const struct buffers *b, struct error *e)
{
	uint64_t from, from2, to, to2;
	int r = 0;
	for (uint64_t at = 0; at < size && r == 0; at = to) {
		r = file_next_data(c->from, at, size, &from, &to, c->from_path, e);
		if (r == 0)
			r = file_next_data(c->to, at, size, &from2, &to2, c->to_path, e);
		from = from2 < from ? from2 : from;
		if (r < 0 || from >= size)
			return r;
		to = size - from > CHUNK ? from + CHUNK : size;
		r = file_pread(c->from, b->a, (size_t)(to - from), from, c->from_path, e);
		if (r == 0)
			r = file_pread(c->to, b->b, (size_t)(to - from), from, c->to_path, e);
		if (r == 0 && memcmp(b->a, b->b, (size_t)(to - from)) != 0)
			r = error_set(e, ERROR_FAILED, EIO, "the copy of %s reads back differently", c->from_path);
		if (r == 0)
			r = stopped(c, "comparing", to, size, e);
	}
	return r;
}

int image_copy_data(const struct image_copy *c, struct error *e)
{
	CLEANUP(buffers_free) struct buffers b = { malloc(CHUNK), malloc(CHUNK) };
	struct stat st;
	uint64_t now;
	if (!b.a || !b.b)
		return error_oom(e);
	if (fstat(c->from, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", c->from_path);
	uint64_t size = (uint64_t)st.st_size;
	int r = reserve(c, &st, e);
	if (r == 0)
		r = copy(c, size, &b, e);
	if (r == 0)
		r = file_sync(c->to, c->to_path, e);
	/* From the disk and not from memory. */
	if (r == 0)
		posix_fadvise(c->to, 0, 0, POSIX_FADV_DONTNEED);
	if (r == 0)
		r = compare(c, size, &b, e);
	if (r == 0)
		r = file_size(c->from, c->from_path, &now, e);
	if (r == 0 && now != size)
		r = error_set(e, ERROR_BUSY, EBUSY, "%s was changed by another process just now", c->from_path);
	return r;
}

/* ---- attributes ---- */

/* Which user had it before the guest, and how many use it: of a file that a guest has, by inode. */
#define LIBVIRT_NOTES "trusted.libvirt.security."
#define ACCESS_LIST "system.posix_acl_access"

/* name NULL: the list of names. It may grow between the two calls. */
static int read_attribute(int fd, const char *name, char **ret, size_t *ret_len)
{
	for (int tries = 0; tries < 10; tries++) {
		ssize_t n = name ? fgetxattr(fd, name, NULL, 0) : flistxattr(fd, NULL, 0);
		if (n < 0)
			return -errno;
		AUTOFREE char *buf = calloc(1, (size_t)n + 1);
		if (!buf)
			return -ENOMEM;
		n = name ? fgetxattr(fd, name, buf, (size_t)n) : flistxattr(fd, buf, (size_t)n);
		if (n < 0 && errno != ERANGE)
			return -errno;
		if (n < 0)
			continue;
		*ret = TAKE_PTR(buf);
		*ret_len = (size_t)n;
		return 0;
	}
	return -ERANGE;
}

static int copy_attribute(const struct image_copy *c, const char *name, struct error *e)
{
	AUTOFREE char *value = NULL;
	AUTOFREE char *now = NULL;
	size_t len, now_len;
	int r = read_attribute(c->from, name, &value, &len);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return error_errno(e, ERROR_FAILED, r, "cannot read attribute %s of %s", name, c->from_path);
	/* A label that the new file has by itself may be one that nobody may set. */
	if (read_attribute(c->to, name, &now, &now_len) == 0 && now_len == len && !memcmp(now, value, len))
		return 0;
	if (fsetxattr(c->to, name, value, len, 0) == 0)
		return 0;
	return error_errno(e, ERROR_REFUSED, errno,
			   "%s has attribute %s (%zu bytes), which its copy %s cannot have; remove it (setfattr -x) or "
			   "choose another place", c->from_path, name, len, c->to_path);
}

static int copy_all_attributes(const struct image_copy *c, struct error *e)
{
	AUTOFREE char *names = NULL;
	size_t len = 0;
	int r = read_attribute(c->from, NULL, &names, &len);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return error_errno(e, ERROR_FAILED, r, "cannot list the attributes of %s", c->from_path);
	for (char *name = names; r == 0 && name < names + len; name += strlen(name) + 1)
		if (strncmp(name, LIBVIRT_NOTES, strlen(LIBVIRT_NOTES)) != 0)
			r = copy_attribute(c, name, e);
	return r;
}

int image_copy_attributes(const struct image_copy *c, struct error *e)
{
	struct stat st;
	int r = copy_all_attributes(c, e);
	if (r < 0)
		return r;
	if (fstat(c->from, &st) < 0 || fchown(c->to, st.st_uid, st.st_gid) < 0 || fchmod(c->to, st.st_mode & 07777) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot give the copy of %s its owner and mode",
				   c->from_path);
	return 0;
}

int image_copy_check_attributes(const struct image_copy *c, struct error *e)
{
	int r = image_copy_attributes(c, e);
	if (r < 0)
		return r;
	if ((fremovexattr(c->to, ACCESS_LIST) < 0 && errno != ENODATA && errno != EOPNOTSUPP) ||
	    fchown(c->to, geteuid(), getegid()) < 0 || fchmod(c->to, 0600) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot keep %s from its owner", c->to_path);
	return 0;
}

int image_check_space(const char *path, const char *dir, uint64_t there, struct error *e)
{
	struct statvfs fs;
	struct stat st;
	char a[32], b[32];
	if (stat(path, &st) < 0 || statvfs(dir, &fs) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot ask for the free space in %s", dir);
	uint64_t need = (uint64_t)st.st_blocks * 512 + SPARE, have = (uint64_t)fs.f_bavail * fs.f_frsize + there;
	if (have < need)
		return error_set(e, ERROR_FAILED, ENOSPC, "the copy of %s needs %s in %s, which has %s free", path,
				 text_size(need, a, sizeof(a)), dir, text_size(have, b, sizeof(b)));
	return 0;
}
