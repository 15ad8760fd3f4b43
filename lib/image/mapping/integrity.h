/*
 * dm-integrity's superblock at the beginning of the data of a LUKS2 volume with integrity. The
 * kernel gives as much data as the container has room for beside journal and tags, so the size of
 * the disk is set by the size of the file.
 */
#ifndef LIB_IMAGE_MAPPING_INTEGRITY_H
#define LIB_IMAGE_MAPPING_INTEGRITY_H

#include "base/error.h"

#include <stdint.h>

/* What the size of a volume with integrity in a file is a multiple of. */
#define INTEGRITY_GRAIN 4096u

/* Bytes of data that the superblock at offset tells of. ERROR_DAMAGED when there is none. */
int integrity_size(int fd, const char *path, uint64_t offset, uint64_t *ret, struct error *e);

/*
 * Makes the file so long, and the superblock say, that the disk has exactly size bytes. The volume
 * is not mapped. Sectors that are new have no tags yet.
 */
int integrity_fit(int fd, const char *path, uint64_t offset, uint64_t size, struct error *e);

#endif
