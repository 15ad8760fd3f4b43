#include "lib/image/file/open.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int image_open(const char *path, bool write, int *ret_fd, uint64_t *ret_size, struct error *e)
{
	char self[64];
	struct stat st;
	uint64_t size;
	/* O_PATH looks without opening: opening a FIFO may block, opening a tape rewinds it. */
	AUTOCLOSE int look = open(path, O_PATH | O_CLOEXEC);
	if (look < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", path);
	if (fstat(look, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(e, ERROR_USAGE, EINVAL, "%s is neither a file nor a block device", path);
	/* What was looked at, whatever path names by now. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", look);
	AUTOCLOSE int fd = open(self, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r = fd < 0 ? -errno : 0;
	if (r == -ENOENT && surroundings_check(e) < 0)
		return r;
	if (r < 0)
		return error_errno(e, error_kind_of_errno(r), r, "cannot open %s", path);
	r = file_size(fd, path, &size, e);
	if (r < 0)
		return r;
	*ret_size = size;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
