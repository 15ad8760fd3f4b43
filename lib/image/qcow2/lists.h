/* The lists that a qcow2 header names, internal snapshots and bitmaps: QEMU reads them whenever it opens the image. */
#ifndef LIB_IMAGE_QCOW2_LISTS_H
#define LIB_IMAGE_QCOW2_LISTS_H

#include "lib/image/qcow2/qcow2.h"

struct qcow2_lists {
	int fd;
	uint64_t file_size;
	const char *what;	/* for errors */
	const struct qcow2_header *h;
	/* Called for each entry, or NULL: a result < 0 ends the walk. */
	int (*snapshot)(void *ctx, uint64_t l1_offset, uint32_t l1_entries);
	int (*bitmap)(void *ctx, const unsigned char *table, uint64_t offset, uint32_t entries);
	void *ctx;
};

/* ERROR_DAMAGED for what QEMU would not open. *ret_length (or NULL): bytes of the snapshot table, 0 without one. */
int qcow2_each_snapshot(const struct qcow2_lists *l, uint64_t *ret_length, struct error *e);
int qcow2_each_bitmap(const struct qcow2_lists *l, struct error *e);

#endif
