/*
 * A library to be preloaded: at the N-th call that changes a file on the disk of the current
 * directory, the process dies, the call fails, or the power goes.
 *
 *   FAULT_AT=N        which call, from 1; 0 or absent: none
 *   FAULT_KIND=kill   the process is killed before the call
 *             =torn   a write does its first half, then the process is killed
 *             =eio    the call fails with EIO and does nothing
 *             =enospc the same with ENOSPC
 *             =power  the process is killed, and of everything written since the last sync of each
 *                     file a random part of the 512-byte sectors is what it was before
 *             =lost   of writes of 64 KiB and more only: it is said to have succeeded, and did nothing
 *   FAULT_SEED=S      for that random part
 *   FAULT_COUNT=FILE  at exit: how many such calls there were
 *
 * With an error the calls after it succeed. Directories are taken to keep their order, as a file
 * system with a journal keeps it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define LOST_MIN 65536u

struct undo {
	struct undo *next;	/* older */
	int fd;			/* of our own, as the program may close its */
	dev_t dev;
	ino_t ino;
	off_t offset;
	size_t len;
	unsigned char old[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *undos;
static long fault_at, calls;
static const char *kind = "kill", *count_file;
static unsigned seed = 1;
static dev_t disk;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, ftruncate64, int, off64_t);
REAL(int, rename, const char *, const char *);
REAL(int, renameat2, int, const char *, int, const char *, unsigned);
REAL(int, renameat, int, const char *, int, const char *);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, link, const char *, const char *);
REAL(int, symlink, const char *, const char *);

#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
	struct stat st;
	FIND(pwrite64);
	FIND(write);
	FIND(fsync);
	FIND(fdatasync);
	FIND(ftruncate64);
	FIND(rename);
	FIND(renameat2);
	FIND(renameat);
	FIND(unlink);
	FIND(unlinkat);
	FIND(linkat);
	FIND(link);
	FIND(symlink);
	if (getenv("FAULT_AT"))
		fault_at = atol(getenv("FAULT_AT"));
	if (getenv("FAULT_KIND"))
		kind = getenv("FAULT_KIND");
	if (getenv("FAULT_SEED"))
		seed = (unsigned)atol(getenv("FAULT_SEED"));
	count_file = getenv("FAULT_COUNT");
	if (stat(".", &st) == 0)
		disk = st.st_dev;
}

__attribute__((destructor)) static void end(void)
{
	FILE *f = count_file ? fopen(count_file, "we") : NULL;
	if (!f)
		return;
	fprintf(f, "%ld\n", calls);
	fclose(f);
}

/* Only what is on the disk: not pipes, terminals, sockets, memory files. */
static bool on_disk(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_dev == disk && st->st_nlink > 0;
}

static bool power(void)
{
	return !strcmp(kind, "power");
}

/* Newest first, so that what two writes share ends as one of its earlier states. */
static void power_cut(void)
{
	for (struct undo *u = undos; u; u = u->next)
		for (size_t done = 0, n; done < u->len; done += n) {
			n = SECTOR - (size_t)(u->offset + (off_t)done) % SECTOR;
			if (n > u->len - done)
				n = u->len - done;
			if (rand_r(&seed) & 1)
				(void)!real_pwrite64(u->fd, u->old + done, n, u->offset + (off_t)done);
		}
}

static void die(void)
{
	if (power())
		power_cut();
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* 0: go on; 1: fail, errno is set; with the kinds that kill it does not return, but for "torn". */
static int hit(void)
{
	if (!strcmp(kind, "lost"))
		return 0;
	if (++calls != fault_at)
		return 0;
	if (!strcmp(kind, "eio") || !strcmp(kind, "enospc")) {
		errno = !strcmp(kind, "eio") ? EIO : ENOSPC;
		return 1;
	}
	if (strcmp(kind, "torn") != 0)
		die();
	return 2;
}

/* A disk that loses what it said it had taken. */
static bool is_lost(size_t len)
{
	return len >= LOST_MIN && ++calls == fault_at;
}

static void remember(int fd, const struct stat *st, off_t offset, size_t len)
{
	if (!power() || !fault_at)
		return;
	struct undo *u = calloc(1, sizeof(*u) + len);
	if (!u)
		return;
	*u = (struct undo){ undos, dup(fd), st->st_dev, st->st_ino, offset, len };
	/* A file that was opened for writing only cannot tell what it was: then it was zeros. */
	(void)!pread(u->fd, u->old, len, offset);
	undos = u;
}

static void forget(const struct stat *st)
{
	for (struct undo **p = &undos; *p;) {
		struct undo *u = *p;
		if (u->dev != st->st_dev || u->ino != st->st_ino) {
			p = &u->next;
			continue;
		}
		*p = u->next;
		close(u->fd);
		free(u);
	}
}

static ssize_t do_write(int fd, const void *buf, size_t len, off_t offset, bool here)
{
	struct stat st;
	if (!on_disk(fd, &st))
		return here ? real_write(fd, buf, len) : real_pwrite64(fd, buf, len, offset);
	if (here)
		offset = lseek(fd, 0, SEEK_CUR);
	pthread_mutex_lock(&lock);
	if (!strcmp(kind, "lost")) {
		bool lost = is_lost(len);
		pthread_mutex_unlock(&lock);
		return lost ? (ssize_t)len : here ? real_write(fd, buf, len) : real_pwrite64(fd, buf, len, offset);
	}
	int h = hit();
	if (h == 2) {
		(void)!real_pwrite64(fd, buf, len / 2, offset);
		die();
	}
	ssize_t r = -1;
	if (!h) {
		remember(fd, &st, offset, len);
		r = here ? real_write(fd, buf, len) : real_pwrite64(fd, buf, len, offset);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	return do_write(fd, buf, len, offset, false);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return do_write(fd, buf, len, offset, false);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return do_write(fd, buf, len, 0, true);
}

static int do_sync(int fd, int (*real)(int))
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_dev != disk)
		return real(fd);
	pthread_mutex_lock(&lock);
	int h = hit(), r = -1;
	if (h == 2)
		die();
	if (!h) {
		r = real(fd);
		forget(&st);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

int fsync(int fd)
{
	return do_sync(fd, real_fsync);
}

int fdatasync(int fd)
{
	return do_sync(fd, real_fdatasync);
}

int ftruncate64(int fd, off64_t len)
{
	struct stat st;
	if (!on_disk(fd, &st))
		return real_ftruncate64(fd, len);
	pthread_mutex_lock(&lock);
	int h = hit();
	if (h == 2)
		die();
	int r = h ? -1 : real_ftruncate64(fd, len);
	pthread_mutex_unlock(&lock);
	return r;
}

int ftruncate(int fd, off_t len)
{
	return ftruncate64(fd, len);
}

/* Names: only those on the disk count, which a path tells well enough. */
#define NAME_CALL(name, path, params, args)                     \
	int name params                                         \
	{                                                       \
		if (!strncmp(path, "/dev/", 5))                 \
			return real_##name args;                \
		pthread_mutex_lock(&lock);                      \
		int h = hit();                                  \
		if (h == 2)                                     \
			die();                                  \
		int r = h ? -1 : real_##name args;              \
		pthread_mutex_unlock(&lock);                    \
		return r;                                       \
	}
NAME_CALL(rename, a, (const char *a, const char *b), (a, b))
NAME_CALL(renameat2, b, (int x, const char *a, int y, const char *b, unsigned f), (x, a, y, b, f))
NAME_CALL(renameat, b, (int x, const char *a, int y, const char *b), (x, a, y, b))
NAME_CALL(unlink, a, (const char *a), (a))
NAME_CALL(unlinkat, a, (int x, const char *a, int f), (x, a, f))
NAME_CALL(linkat, b, (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f))
NAME_CALL(link, a, (const char *a, const char *b), (a, b))
NAME_CALL(symlink, b, (const char *a, const char *b), (a, b))
