/* Opening an image file without touching anything that is not one. */
#ifndef LIB_IMAGE_FILE_OPEN_H
#define LIB_IMAGE_FILE_OPEN_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The one way to open an image's path, a recorded one or a person's: a descriptor of the regular file or block device
 * at path (links are followed) and its size in bytes. Safe steps alone (base/walk.h), ERROR_REFUSED otherwise. FIFOs,
 * directories, terminals, tapes … are ERROR_USAGE and are never opened.
 */
int image_open(const char *path, bool write, int *ret_fd, uint64_t *ret_size, struct error *e);

#endif
