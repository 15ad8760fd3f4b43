/* The configurations of all domains that have an image, after it got another place. */
#ifndef LIB_GUEST_RELOCATE_H
#define LIB_GUEST_RELOCATE_H

#include "lib/guest/image.h"

struct guest_relocate {
	const struct guest_image *image;	/* by its old name and its new one, and by its secret */
	const char *to;		/* the new path */
	bool block;		/* where a block device lies */
	bool dry_run;
	/* Asked of the top image of each disk that has it below: can that one go on naming it? Or NULL. */
	int (*above)(void *ctx, const char *domain, const char *top, struct error *e);
	void *ctx;
};

/*
 * In every persistent configuration each disk, and each element of a disk's chain, that is the image names it by its
 * new path. A source with its secret that leads to another image which is there is left alone. *ret_changed: disks
 * that were changed, or would be. A failure in one domain does not keep the others from being asked first.
 */
int guest_relocate(const struct guest_relocate *p, size_t *ret_changed, struct error *e);

#endif
