/*
 * QEMU's image locks (QEMU block/file-posix.c, "RAW_LOCK_PERM_BASE"): OFD locks on byte 100 + p
 * for each permission held and 200 + p for each permission not shared.
 */
#ifndef LIB_IMAGE_FILE_LOCK_H
#define LIB_IMAGE_FILE_LOCK_H

#include "base/error.h"

#include <stdbool.h>

/*
 * Takes what a QEMU writer takes (consistent read, write, resize held; write, resize not shared)
 * on an open descriptor; released by close(). ERROR_BUSY names the holder's process ID if known.
 */
int image_lock(int fd, const char *path, struct error *e);

/*
 * Removes the name of the file that fd has locked, and of no other; the lock lasts until close().
 * What is not a regular file stays: the name of a block device belongs to the system. Without the
 * name: 0. ERROR_BUSY: another file has the name now.
 */
int image_remove(int fd, const char *path, struct error *e);

/*
 * Keeps every QEMU off the file, readers too, for as long as the open file lives: "consistent read is
 * not shared". image_lock() passes by it, so that the header of a mapped volume can still be changed.
 * A loop device that is given the descriptor keeps the open file, and with it the lock.
 */
int image_hold(int fd, const char *path, struct error *e);

/* Does a process hold QEMU locks on path that exclude a writer? Takes nothing. */
bool image_is_in_use(const char *path);

/* Has somebody the file open to write to it? Who only reads a base below an overlay does not count. */
bool image_is_written(const char *path);

#endif
