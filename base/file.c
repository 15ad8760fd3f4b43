#include "base/file.h"

#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define COPY_CHUNK 65536u

int file_pread(int fd, void *buf, size_t len, uint64_t offset, const char *what, struct error *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(e, ERROR_FAILED, errno, "cannot read %s", what);
		if (n == 0)
			return error_set(e, ERROR_DAMAGED, ENODATA, "%s is too short", what);
		done += (size_t)n;
	}
	return 0;
}

int file_pwrite(int fd, const void *buf, size_t len, uint64_t offset, const char *what,
		struct error *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(e, ERROR_FAILED, n < 0 ? errno : EIO, "cannot write %s",
					   what);
		done += (size_t)n;
	}
	return 0;
}

int file_write(int fd, const void *buf, size_t len, const char *what, struct error *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(e, ERROR_FAILED, n < 0 ? errno : EIO, "cannot write to %s", what);
		done += (size_t)n;
	}
	return 0;
}

int file_copy(int from, int to, const char *what, struct error *e)
{
	AUTOFREE char *buf = malloc(COPY_CHUNK);
	uint64_t size;
	int r = file_size(from, what, &size, e);
	if (r == 0 && !buf)
		r = error_oom(e);
	for (uint64_t done = 0; r == 0 && done < size; done += COPY_CHUNK) {
		size_t n = size - done < COPY_CHUNK ? (size_t)(size - done) : COPY_CHUNK;
		if ((r = file_pread(from, buf, n, done, what, e)) == 0)
			r = file_pwrite(to, buf, n, done, what, e);
	}
	return r;
}

/* Block devices and some network file systems know of no holes. */
static bool tells_no_holes(int err)
{
	return err == EINVAL || err == EOPNOTSUPP || err == ENOSYS;
}

int file_next_data(int fd, uint64_t from, uint64_t end, uint64_t *ret_start, uint64_t *ret_end, const char *what,
		   struct error *e)
{
	off_t start = lseek(fd, (off_t)from, SEEK_DATA);
	off_t stop = start < 0 ? start : lseek(fd, start, SEEK_HOLE);
	bool none = start < 0 && errno == ENXIO;
	if (!none && stop < 0 && !tells_no_holes(errno))
		return error_errno(e, ERROR_FAILED, errno, "cannot find the data of %s", what);
	*ret_start = none ? end : stop < 0 ? from : (uint64_t)start < end ? (uint64_t)start : end;
	*ret_end = none || stop < 0 ? end : (uint64_t)stop < end ? (uint64_t)stop : end;
	return 0;
}

int file_sync(int fd, const char *what, struct error *e)
{
	if (fsync(fd) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot sync %s", what);
	return 0;
}

#define TEXT_MAX (1u << 20)

int file_read_text(const char *path, char **ret, struct error *e)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be read", path);
	AUTOFREE char *text = calloc(1, TEXT_MAX + 1);
	if (!text)
		return error_oom(e);
	size_t len = 0;
	for (ssize_t n = fd < 0 ? 0 : 1; n > 0 && len < TEXT_MAX; len += (size_t)n) {
		do
			n = read(fd, text + len, TEXT_MAX - len);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be read", path);
	}
	if (len == TEXT_MAX || strlen(text) != len)
		return error_set(e, ERROR_FAILED, EFBIG, "%s is no text of less than a mebibyte", path);
	char *exact = realloc(text, len + 1);
	text = NULL;
	*ret = exact;
	return exact ? 0 : error_oom(e);
}

int file_sync_dir_of(const char *path, struct error *e)
{
	AUTOFREE char *copy = strdup(path);
	if (!copy)
		return error_oom(e);
	const char *dir = dirname(copy);
	AUTOCLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open directory %s", dir);
	if (fsync(fd) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot sync directory %s", dir);
	return 0;
}

int file_canonical(const char *path, char **ret, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_path(path, &w, e);
	if (r == 0)
		*ret = TAKE_PTR(w.path);
	return r;
}

int file_canonical_dir(const char *path, char **ret, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_name(path, &w, e);
	if (r == 0)
		*ret = TAKE_PTR(w.path);
	return r;
}

bool file_is_same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
		return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool file_is_same_at(const char *a, const char *b)
{
	struct stat of_a, of_b;
	return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && file_is_same(&of_a, &of_b);
}

bool file_is_block_device(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

int file_size(int fd, const char *what, uint64_t *ret, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", what);
	if (S_ISREG(st.st_mode)) {
		*ret = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return error_set(e, ERROR_USAGE, EINVAL, "%s is neither a file nor a block device", what);
	if (ioctl(fd, BLKGETSIZE64, ret) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot get the size of %s", what);
	return 0;
}

static bool swap_is_on(void)
{
	char line[256];
	int lines = 0;
	FILE *f = fopen("/proc/swaps", "re");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f))
		lines++;
	fclose(f);
	return lines > 1; /* the first line is a heading */
}

bool file_is_ram(const char *path)
{
	struct statfs fs;
	if (statfs(path, &fs) < 0)
		return false;
	return fs.f_type == RAMFS_MAGIC || (fs.f_type == TMPFS_MAGIC && !swap_is_on());
}
