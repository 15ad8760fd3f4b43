/* Who uses a block device: for the message that says why it cannot be closed or overwritten. */
#ifndef LIB_IMAGE_FILE_USERS_H
#define LIB_IMAGE_FILE_USERS_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * Mounts and swap of this process's namespace, devices built on it, and processes that have it
 * open: calls fn with one line for each, "mounted on /mnt", "process 123 (qemu)". A non-zero
 * result of fn stops. What cannot be read is left out.
 */
void device_users(dev_t device, int (*fn)(void *ctx, const char *line), void *ctx);

/* As one text, "mounted on /mnt, process 123 (qemu)", cut off at len; "" if nobody is found. */
void device_users_text(dev_t device, char *buf, size_t len);

#endif
