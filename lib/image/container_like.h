/* An empty image that is like another one, for a QEMU to copy the disk of a running guest onto. */
#ifndef LIB_IMAGE_CONTAINER_LIKE_H
#define LIB_IMAGE_CONTAINER_LIKE_H

#include "base/progress.h"
#include "lib/image/container.h"

/*
 * Writes into fd, new and empty, what `old` has besides its data and its LUKS header: the size, and a qcow2's tables
 * with the name of its backing file. backing: that name where it is to be another, or NULL. *ret_offset: where a LUKS
 * header of luks_len bytes belongs.
 */
int container_like(const struct container *old, const char *backing, size_t luks_len, int fd,
		   const struct progress *progress, uint64_t *ret_offset, struct error *e);

#endif
