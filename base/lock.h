/* Locks that are waited for so long: a process that holds one may be ended any moment, or hang. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <sys/types.h>

/* flock(2). operation: LOCK_SH or LOCK_EX. 0; -EBUSY when another has held it for so many seconds; or -errno. */
int lock_file(int fd, int operation, unsigned seconds);

/* An OFD lock on bytes [start, start + len) of a file open for writing (len 0: all that follow). Likewise. */
int lock_range(int fd, off_t start, off_t len, unsigned seconds);

#endif
