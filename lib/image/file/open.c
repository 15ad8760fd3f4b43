#include "lib/image/file/open.h"

#include "base/file.h"
#include "base/surroundings.h"
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>

/* What is there is held without being opened: opening a FIFO may block, opening a tape rewinds it. */
static int look(const char *path, struct walk *w, struct error *e)
{
	struct error why = { 0 };
	int r = walk_path(path, w, &why);
	if (r < 0 && why.kind != ERROR_REFUSED)
		return error_errno(e, why.kind, r, "cannot open %s", path);
	if (r < 0)
		return error_pass(e, &why);
	if (w->fd < 0)
		return error_errno(e, ERROR_NOT_FOUND, ENOENT, "cannot open %s", path);
	if (!S_ISREG(w->st.st_mode) && !S_ISBLK(w->st.st_mode))
		return error_set(e, ERROR_USAGE, EINVAL, "%s is neither a file nor a block device", path);
	/* Device-mapper and the loop driver are given a device's name once more. */
	if (S_ISBLK(w->st.st_mode) && !w->trusted)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s is a block device in a directory that belongs to another user", path);
	return 0;
}

int image_open(const char *path, bool write, int *ret_fd, uint64_t *ret_size, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	uint64_t size;
	int r = look(path, &w, e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = walk_open(&w, (write ? O_RDWR : O_RDONLY) | O_NOCTTY | O_NONBLOCK);
	if (fd == -ENOENT && surroundings_check(e) < 0)
		return fd;
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(fd), fd, "cannot open %s", path);
	r = file_size(fd, path, &size, e);
	if (r < 0)
		return r;
	*ret_size = size;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
