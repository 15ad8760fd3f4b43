/* An image file as it is, at another place: bytes, holes, owner, mode, labels and access lists. */
#ifndef LIB_IMAGE_FILE_COPY_H
#define LIB_IMAGE_FILE_COPY_H

#include "base/error.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stdint.h>

struct image_copy {
	int from;
	const char *from_path;
	int to;			/* new and empty */
	const char *to_path;
	const struct progress *progress;
};

/*
 * Copies what is not a hole, syncs, reads all of it back from the disk and compares. Nobody may write to either.
 * ERROR_FAILED/ECANCELED when progress says so; EIO where the copy reads back differently.
 */
int image_copy_data(const struct image_copy *c, struct error *e);

/*
 * Owner, mode, and every attribute, access list and label, whatever its size. One that cannot be set here is
 * ERROR_REFUSED, which names it. libvirt's own notes of a running guest stay where they are.
 */
int image_copy_attributes(const struct image_copy *c, struct error *e);
/* Could they be? Afterwards the file is this user's alone. To be asked before hours of copying. */
int image_copy_check_attributes(const struct image_copy *c, struct error *e);

/*
 * ERROR_FAILED/ENOSPC when dir's file system has no room for the blocks of the file at path. there: bytes of them that
 * are there already.
 */
int image_check_space(const char *path, const char *dir, uint64_t there, struct error *e);

#endif
