#include "lib/volume/volume.h"

#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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
	int r = lock_range(fd, start, len, wait ? WAIT_SECONDS : 0, busy);
	if (r == -EBUSY)
		return error_set(e, ERROR_BUSY, EBUSY, "%s; try again when it is done", busy);
	if (r < 0)
		return error_errno(e, ERROR_FAILED, -r, "cannot lock %s", path);
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
