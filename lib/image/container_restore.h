/* Putting a whole LUKS header where one was lost. */
#ifndef LIB_IMAGE_CONTAINER_RESTORE_H
#define LIB_IMAGE_CONTAINER_RESTORE_H

#include "lib/image/container.h"

struct container_region {
	const char *path;
	enum image_format format;	/* RAW or QCOW2 */
	uint64_t offset, length;	/* bytes; in a qcow2 what its header extension must say too */
	uint64_t file_size;		/* bytes of the container, or 0: any that holds the region */
	uint64_t disk_size;		/* bytes that a qcow2 says its disk has, or 0 */
};

/*
 * Reads what is at the region now; the caller frees. A file that ends before it reads as zeros. ERROR_REFUSED, here and
 * in writing, where the sizes are others: it is surely another file, or was cut.
 */
int container_region_read(const struct container_region *region, unsigned char **ret, struct error *e);

/* What else lies in a raw container, by its signature, as "ext4"; "" for nothing known. */
int container_region_holds(const struct container_region *region, char *buf, size_t len, struct error *e);

/*
 * Writes a header of region->length bytes: key material first, sync, then the metadata (the first
 * `metadata` bytes), sync, under QEMU's image locks; reads it back. A qcow2's own header must be whole.
 */
int container_region_write(const struct container_region *region, const unsigned char *bytes, uint64_t metadata,
			   struct error *e);

#endif
