#include "base/lock.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES_A_SECOND 100

static void (*tell)(void *ctx, const char *what);
static void *tell_ctx;

void lock_on_wait(void (*told)(void *ctx, const char *what), void *ctx)
{
	tell = told;
	tell_ctx = ctx;
}

void lock_say_waits(const char *what, long holder)
{
	char text[300];
	if (!tell)
		return;
	if (holder)
		snprintf(text, sizeof(text), "waiting, as %s (process %ld)", what, holder);
	else
		snprintf(text, sizeof(text), "waiting, as %s", what);
	tell(tell_ctx, text);
}

/* ---- who has it ---- */

/* proc(5): "lock:  1: OFDLCK  ADVISORY  READ  -1 fe:00:1234 100 101" for a descriptor's locks; the end may be "EOF". */
static bool has_lock_line(const char *pid, const char *fd, lock_counts counts, const void *ctx)
{
	char path[64 + 2 * NAME_MAX], line[256], last[32];
	unsigned long long start;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "lock: %*s %*s %*s %*s %*s %*s %llu %31s", &start, last) == 2 &&
			(!counts || counts(ctx, start, *last == 'E' ? ULLONG_MAX : strtoull(last, NULL, 10)));
	fclose(f);
	return found;
}

static bool process_locks(const char *pid, const struct stat *file, lock_counts counts, const void *ctx)
{
	char path[64 + 2 * NAME_MAX];
	struct stat st;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	if (!dir)
		return false;
	for (struct dirent *d; !found && (d = readdir(dir));)
		found = isdigit((unsigned char)d->d_name[0]) && fstatat(dirfd(dir), d->d_name, &st, 0) == 0 &&
			st.st_dev == file->st_dev && st.st_ino == file->st_ino &&
			has_lock_line(pid, d->d_name, counts, ctx);
	closedir(dir);
	return found;
}

long lock_holder(int fd, lock_counts counts, const void *ctx)
{
	struct stat st;
	long holder = 0;
	DIR *proc = fstat(fd, &st) < 0 ? NULL : opendir("/proc");
	if (!proc)
		return 0;
	for (struct dirent *d; !holder && (d = readdir(proc));) {
		long pid = isdigit((unsigned char)d->d_name[0]) ? atol(d->d_name) : 0;
		if (pid && pid != getpid() && process_locks(d->d_name, &st, counts, ctx))
			holder = pid;
	}
	closedir(proc);
	return holder;
}

/* ---- waiting ---- */

struct bytes {
	unsigned long long start, end;
};

static bool overlaps(const void *ctx, unsigned long long start, unsigned long long end)
{
	const struct bytes *b = ctx;
	return start <= b->end && b->start <= end;
}

/* The system's own waiting has no end but a signal. True: once more. */
static bool wait_more(int fd, const struct bytes *bytes, unsigned *tries, unsigned seconds, const char *what)
{
	const struct timespec nap = { 0, 1000000000 / TRIES_A_SECOND };
	if ((errno != EWOULDBLOCK && errno != EACCES && errno != EINTR) || (*tries)++ >= seconds * TRIES_A_SECOND)
		return false;
	if (*tries == LOCK_TELL_SECONDS * TRIES_A_SECOND)
		lock_say_waits(what, lock_holder(fd, overlaps, bytes));
	nanosleep(&nap, NULL);
	return true;
}

static int failure(void)
{
	return errno == EWOULDBLOCK || errno == EACCES || errno == EINTR ? -EBUSY : -errno;
}

int lock_file(int fd, int operation, unsigned seconds, const char *what)
{
	const struct bytes all = { 0, ULLONG_MAX };
	unsigned tries = 0;
	while (flock(fd, operation | LOCK_NB) < 0) {
		int r = failure();
		if (!wait_more(fd, &all, &tries, seconds, what))
			return r;
	}
	return 0;
}

int lock_range(int fd, off_t start, off_t len, unsigned seconds, const char *what)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	const struct bytes some = { (unsigned long long)start,
				    len ? (unsigned long long)(start + len - 1) : ULLONG_MAX };
	unsigned tries = 0;
	while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		int r = failure();
		if (!wait_more(fd, &some, &tries, seconds, what))
			return r;
	}
	return 0;
}
