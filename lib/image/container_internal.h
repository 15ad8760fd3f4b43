/* What the files of the container part share. */
#ifndef LIB_IMAGE_CONTAINER_INTERNAL_H
#define LIB_IMAGE_CONTAINER_INTERNAL_H

#include "lib/image/container.h"

struct container {
	int fd;
	char *path;
	enum container_mode mode;
	struct container_info info;
	unsigned char *on_disk;		/* the header's region as it is in the container, */
	struct luks_info disk_info;	/* and what it says */
	struct luks *luks;
};

/*
 * Finds and reads the LUKS header of fd; fills format, sizes and region. *ret_bytes: caller frees; all of
 * the region with whole, else with zeros for what no keyslot in use has.
 */
int container_find(int fd, const char *path, enum image_format format, bool whole, struct container_info *info,
		   unsigned char **ret_bytes, struct error *e);

/* Bytes of data in a raw container: what dm-integrity's superblock says, where there is one. */
int container_raw_size(int fd, const char *path, uint64_t file_size, const struct luks_info *luks,
		       uint64_t *ret, struct error *e);

#endif
