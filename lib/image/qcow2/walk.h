/* Between the two halves of qcow2_map_read(): the disk's tables, and all others. */
#ifndef LIB_IMAGE_QCOW2_WALK_H
#define LIB_IMAGE_QCOW2_WALK_H

#include "lib/image/qcow2/map.h"

struct qcow2_walk {
	int fd;
	const char *what;
	const struct qcow2_header *h;
	struct qcow2_map *map;
	unsigned char *l2_seen;		/* a bit for each cluster: an L2 table that was read */
	unsigned char *cluster;		/* room for one */
	struct error *e;
};

int qcow2_walk_damaged(const struct qcow2_walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The table of len bytes at offset belongs to nothing else. `name` is for the error. */
int qcow2_walk_claim(const struct qcow2_walk *w, uint64_t offset, uint64_t len, const char *name);

/* Claims it and reads it; the caller frees. len > 0. */
int qcow2_walk_read(const struct qcow2_walk *w, uint64_t offset, uint64_t len, const char *name, unsigned char **ret);

/* An L1 table and all that is below it. */
int qcow2_walk_l1(const struct qcow2_walk *w, uint64_t offset, uint64_t entries);

/* tables.c */
int qcow2_walk_lists(const struct qcow2_walk *w);
int qcow2_walk_refcounts(const struct qcow2_walk *w);

#endif
