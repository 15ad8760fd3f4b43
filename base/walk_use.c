/* What is done with a place that a walk has reached. */
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const char *walk_last(const struct walk *w)
{
	const char *slash = strrchr(w->path, '/');
	return !slash ? w->path : slash[1] ? slash + 1 : ".";
}

int walk_open(const struct walk *w, int flags)
{
	char self[64];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
	int fd = open(self, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int walk_remove(const char *path, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	struct error why = { 0 };
	int r = walk_name(path, &w, &why);
	if (r < 0)
		return why.kind == ERROR_NOT_FOUND ? 0 : error_pass(e, &why);
	if (w.fd < 0)
		return 0;
	if (unlinkat(w.dir, walk_last(&w), 0) < 0 && errno != ENOENT)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", path);
	return walk_sync(&w, e);
}

int walk_sync(const struct walk *w, struct error *e)
{
	AUTOCLOSE int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot sync the directory of %s", w->path);
	return 0;
}

bool walk_is(const struct walk *w, int fd)
{
	struct stat by_fd, by_name;
	return fstat(fd, &by_fd) == 0 && fstatat(w->dir, walk_last(w), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}
