#include "lib/image/mapping/loop.h"

#include "base/cleanup.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Between "this one is free" and taking it another process may be faster. */
#define TRIES 64

static int take(int control, const struct loop_config *config, bool readonly, char *device, int *ret_fd)
{
	int n = ioctl(control, LOOP_CTL_GET_FREE);
	if (n < 0)
		return -errno;
	snprintf(device, LOOP_PATH_LEN, "/dev/loop%d", n);
	AUTOCLOSE int fd = open(device, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, config) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int loop_attach(const char *path, bool readonly, unsigned block_size, char ret_device[LOOP_PATH_LEN], int *ret_fd,
		struct error *e)
{
	AUTOCLOSE int file = -1, control = -1;
	uint64_t size;
	int r = image_open(path, !readonly, &file, &size, e);
	if (r == 0)
		r = image_hold(file, path, e);
	if (r < 0)
		return r;
	struct loop_config config = {
		.fd = (unsigned)file,
		.block_size = size % block_size ? 512 : block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | (readonly ? LO_FLAGS_READ_ONLY : 0),
	};
	snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s", path);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot open /dev/loop-control (module loop)");
	r = -EBUSY;
	for (int i = 0; i < TRIES && (r == -EBUSY || r == -ENXIO); i++)
		r = take(control, &config, readonly, ret_device, ret_fd);
	return r < 0 ? error_errno(e, ERROR_FAILED, r, "cannot attach a loop device to %s", path) : 0;
}
