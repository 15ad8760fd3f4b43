#include "lib/volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_SECONDS 30

/*
 * One lock file for all volumes, a byte each at an offset made of the UUID: nothing to clean up,
 * and two volumes that share the byte (2^-62) only wait for each other.
 */
static off_t lock_offset(const uuid_t volume)
{
	uint64_t n;
	memcpy(&n, volume, sizeof(n));
	return (off_t)(n >> 2);
}

static int take(struct keystore *ks, off_t start, off_t len, bool wait, const char *busy, int *ret_fd, struct error *e)
{
	AUTOFREE char *path = NULL;
	if (asprintf(&path, "%s/workflow.lock", keystore_path(ks)) < 0)
		return error_oom(e);
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", path);
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len,
	};
	for (int tries = wait ? WAIT_SECONDS * 100 : 1;; tries--) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			break;
		if (errno != EAGAIN && errno != EACCES)
			return error_errno(e, ERROR_FAILED, errno, "cannot lock %s", path);
		if (tries <= 1)
			return error_set(e, ERROR_BUSY, EBUSY, "%s; try again when it is done", busy);
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int volume_lock(struct keystore *ks, const uuid_t volume, bool wait, int *ret_fd, struct error *e)
{
	return take(ks, lock_offset(volume), 1, wait, "another kvmcrypt is working on this volume", ret_fd, e);
}

int volume_lock_all(struct keystore *ks, int *ret_fd, struct error *e)
{
	return take(ks, 0, 0, true, "another kvmcrypt is working on a volume of this keystore", ret_fd, e);
}
