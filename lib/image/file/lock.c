/*
 * QEMU's protocol (block/file-posix.c, raw_apply_lock_bytes() and raw_check_lock_bytes()): every
 * user first takes shared locks on the bytes of what it holds and of what it does not share, then
 * looks whether somebody has the opposite byte. Two that come at once may both fail, never both
 * succeed. libvirt's lock daemon has byte 0; these start at 100.
 */
#include "lib/image/file/lock.h"

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/walk.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PERM_BASE 100
#define UNSHARED_BASE 200

/* QEMU's BLK_PERM_… bit numbers (include/block/block-common.h). */
enum {
	PERM_CONSISTENT_READ = 0,
	PERM_WRITE = 1,
	PERM_RESIZE = 3,
};

static const int held[] = { PERM_CONSISTENT_READ, PERM_WRITE, PERM_RESIZE };
static const int not_shared[] = { PERM_WRITE, PERM_RESIZE };

static int lock_byte(int fd, off_t byte)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	while (fcntl(fd, F_OFD_SETLK, &l) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * Has another open file description any lock on the byte? A failed question counts as yes, but where there are no
 * locks at all (NFS without its lock service) it is for image_lock() to say so.
 */
static bool byte_is_locked(int fd, off_t byte)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	return fcntl(fd, F_OFD_GETLK, &l) < 0 ? errno != ENOLCK : l.l_type != F_UNLCK;
}

/*
 * That somebody does not share consistent reads alone is no objection: it is what image_hold() says,
 * and a QEMU that says so holds or refuses writes as well.
 */
static bool somebody_objects(int fd)
{
	for (size_t i = 0; i < ARRAY_LEN(not_shared); i++)
		if (byte_is_locked(fd, UNSHARED_BASE + not_shared[i]) || byte_is_locked(fd, PERM_BASE + not_shared[i]))
			return true;
	return false;
}

/* Would a lock on these bytes stop us? A reader that shares everything would not. */
static bool range_conflicts(const void *ctx, unsigned long long start, unsigned long long end)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(not_shared); i++)
		if (start <= UNSHARED_BASE + (unsigned)not_shared[i] &&
		    UNSHARED_BASE + (unsigned)not_shared[i] <= end)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(not_shared); i++)
		if (start <= PERM_BASE + (unsigned)not_shared[i] &&
		    PERM_BASE + (unsigned)not_shared[i] <= end)
			return true;
	return false;
}

static int busy(int fd, const char *path, struct error *e)
{
	char name[64] = "?";
	long pid = lock_holder(fd, range_conflicts, NULL);
	if (!pid)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", path);
	snprintf(name, sizeof(name), "/proc/%ld/comm", pid);
	FILE *f = fopen(name, "re");
	if (!f || !fgets(name, sizeof(name), f))
		snprintf(name, sizeof(name), "?");
	if (f)
		fclose(f);
	name[strcspn(name, "\n")] = 0;
	return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by process %ld (%s)", path, pid, name);
}

static void unlock_all(int fd)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = PERM_BASE,
			   .l_len = UNSHARED_BASE + 64 - PERM_BASE };
	fcntl(fd, F_OFD_SETLK, &l);
}

/* A rename between open() and the lock would leave us with the lock of a file nobody uses. */
static int check_still_there(int fd, const char *path, struct error *e)
{
	struct stat by_fd, by_path;
	if (fstat(fd, &by_fd) < 0 || stat(path, &by_path) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot stat %s", path);
	if (by_fd.st_dev != by_path.st_dev || by_fd.st_ino != by_path.st_ino)
		return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", path);
	return 0;
}

int image_lock(int fd, const char *path, struct error *e)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(held); i++)
		r = lock_byte(fd, PERM_BASE + held[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(not_shared); i++)
		r = lock_byte(fd, UNSHARED_BASE + not_shared[i]);
	if (r == -EAGAIN || r == -EACCES)
		r = busy(fd, path, e);
	else if (r < 0)
		r = error_errno(e, ERROR_FAILED, r, "cannot lock %s", path);
	else if (somebody_objects(fd))
		r = busy(fd, path, e);
	else
		r = check_still_there(fd, path, e);
	if (r < 0)
		unlock_all(fd);
	return r;
}

int image_remove(int fd, const char *path, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	struct error why = { 0 };
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode))
		return 0;
	int r = walk_name(path, &w, &why);
	if (r < 0)
		return why.kind == ERROR_NOT_FOUND ? 0 : error_pass(e, &why);
	if (w.fd < 0)
		return 0;
	if (!walk_is(&w, fd))
		return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", path);
	cleanup_close(&w.fd);
	w.fd = -1;
	if (unlinkat(w.dir, walk_last(&w), 0) < 0 && errno != ENOENT)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", path);
	return walk_sync(&w, e);
}

int image_hold(int fd, const char *path, struct error *e)
{
	int r = lock_byte(fd, UNSHARED_BASE + PERM_CONSISTENT_READ);
	return r < 0 ? error_errno(e, ERROR_FAILED, r, "cannot lock %s", path) : 0;
}

bool image_is_in_use(const char *path)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	return image_open(path, false, &fd, &size, NULL) == 0 && somebody_objects(fd);
}

bool image_is_written(const char *path)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	return image_open(path, false, &fd, &size, NULL) == 0 && byte_is_locked(fd, PERM_BASE + PERM_WRITE);
}
