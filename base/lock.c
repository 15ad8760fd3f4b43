#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <time.h>

#define TRIES_A_SECOND 100

/* The system's own waiting has no end but a signal. True: once more. */
static bool wait_more(unsigned *tries, unsigned seconds)
{
	const struct timespec nap = { 0, 1000000000 / TRIES_A_SECOND };
	if ((errno != EWOULDBLOCK && errno != EACCES && errno != EINTR) || (*tries)++ >= seconds * TRIES_A_SECOND)
		return false;
	nanosleep(&nap, NULL);
	return true;
}

static int failure(void)
{
	return errno == EWOULDBLOCK || errno == EACCES || errno == EINTR ? -EBUSY : -errno;
}

int lock_file(int fd, int operation, unsigned seconds)
{
	unsigned tries = 0;
	while (flock(fd, operation | LOCK_NB) < 0) {
		int r = failure();
		if (!wait_more(&tries, seconds))
			return r;
	}
	return 0;
}

int lock_range(int fd, off_t start, off_t len, unsigned seconds)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	unsigned tries = 0;
	while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		int r = failure();
		if (!wait_more(&tries, seconds))
			return r;
	}
	return 0;
}
