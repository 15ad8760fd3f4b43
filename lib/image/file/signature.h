/* What is on a block device already, by libblkid: asked before it is overwritten. */
#ifndef LIB_IMAGE_FILE_SIGNATURE_H
#define LIB_IMAGE_FILE_SIGNATURE_H

#include "base/error.h"

#include <stddef.h>

/*
 * A file system, partition table, RAID or LUKS signature on fd: its name ("ext4", "dos",
 * "crypto_LUKS") into buf, "" if there is none. Several that contradict each other are "several".
 */
int signature_find(int fd, const char *path, char *buf, size_t len, struct error *e);

/* Overwrites every signature that libblkid knows, so that none is found behind a new header. */
int signature_wipe(int fd, const char *path, struct error *e);

#endif
