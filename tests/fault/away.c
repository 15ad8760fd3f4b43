/*
 * A library to be preloaded: before the N-th message that the process sends over a UNIX socket, it stands still until
 * something is done about the daemon at the other end.
 *
 *   AWAY_AT=N         which message, from 1; 0 or absent: none
 *   AWAY_COUNT=FILE   at exit: how many there were
 *   AWAY_CALL=FIFO    gets a byte: now do it
 *   AWAY_DONE=FIFO    opened for reading until its end: it is done
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t (*real_write)(int fd, const void *data, size_t len);
static atomic_long messages;
static long at;

__attribute__((constructor)) static void begin(void)
{
	const char *n = getenv("AWAY_AT");
	real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	at = n ? atol(n) : 0;
}

__attribute__((destructor)) static void count(void)
{
	const char *file = getenv("AWAY_COUNT");
	FILE *f = file ? fopen(file, "w") : NULL;
	if (!f)
		return;
	fprintf(f, "%ld\n", atomic_load(&messages));
	fclose(f);
}

static int is_local_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static void stand_still(void)
{
	const char *call = getenv("AWAY_CALL"), *done = getenv("AWAY_DONE");
	char byte = '!';
	int fd = call ? open(call, O_WRONLY | O_CLOEXEC) : -1;
	if (fd < 0 || real_write(fd, &byte, 1) != 1)
		return;
	close(fd);
	fd = done ? open(done, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && read(fd, &byte, 1) > 0)
		;
	if (fd >= 0)
		close(fd);
}

ssize_t write(int fd, const void *data, size_t len)
{
	if (is_local_socket(fd) && atomic_fetch_add(&messages, 1) + 1 == at)
		stand_still();
	return real_write(fd, data, len);
}
