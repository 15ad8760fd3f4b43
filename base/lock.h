/* Locks that are waited for so long: a process that holds one may be ended any moment, stopped, or hang. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * flock(2). operation: LOCK_SH or LOCK_EX. 0; -EBUSY when another has held it for so many seconds; or -errno. what is
 * for a person who waits: "another process changes the seal".
 */
int lock_file(int fd, int operation, unsigned seconds, const char *what);

/* An OFD lock on bytes [start, start + len) of a file open for writing (len 0: all that follow). Likewise. */
int lock_range(int fd, off_t start, off_t len, unsigned seconds, const char *what);

/* Who is told, once a lock, when it has been waited for two seconds; set before there are threads. NULL: nobody. */
void lock_on_wait(void (*told)(void *ctx, const char *what), void *ctx);
/* For who waits by other means. holder: a process, or 0. */
void lock_say_waits(const char *what, long holder);
#define LOCK_TELL_SECONDS 2

/*
 * Another process with a lock on the file that fd is open on, or 0: such locks belong to no process, but the open
 * descriptors tell. counts says which bytes are meant; NULL: all.
 */
typedef bool (*lock_counts)(const void *ctx, unsigned long long start, unsigned long long end);
long lock_holder(int fd, lock_counts counts, const void *ctx);

#endif
