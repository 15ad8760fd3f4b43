/*
 * What the host clusters of a qcow2 are for, by walking all of its tables: those of the disk, of its
 * internal snapshots, refcounts and bitmaps. Format: QEMU docs/interop/qcow2.txt, "Cluster mapping",
 * "Host cluster management", "Snapshots", "Bitmaps extension".
 */
#ifndef LIB_IMAGE_QCOW2_MAP_H
#define LIB_IMAGE_QCOW2_MAP_H

#include "lib/image/qcow2/qcow2.h"

/* A bit for each host cluster of the file. What is neither is free, leaked, or known to others only. */
struct qcow2_map {
	uint32_t cluster_bits;
	uint64_t file_size;
	uint64_t n_clusters;
	unsigned char *data;	/* holds guest data, the only thing that is encrypted */
	unsigned char *tables;	/* header, LUKS header, or a table */
};

/*
 * Reads the tables of an image that qcow2_read() accepted. ERROR_DAMAGED for entries outside the file, and
 * where two tables, or a table and guest data, share a cluster; ERROR_FAILED/EOPNOTSUPP for compressed
 * clusters, which QEMU does not encrypt.
 */
int qcow2_map_read(int fd, uint64_t file_size, const char *what, const struct qcow2_header *h,
		   struct qcow2_map *ret, struct error *e);
void qcow2_map_clear(struct qcow2_map *m);

static inline bool qcow2_map_is_data(const struct qcow2_map *m, uint64_t offset)
{
	uint64_t n = offset >> m->cluster_bits;
	return n < m->n_clusters && m->data[n / 8] >> (n % 8) & 1;
}

/* An image as it lies on the disk, for what compares two. */
struct qcow2_side {
	int fd;
	const char *path;
	const struct qcow2_header *h;
	const struct qcow2_map *map;
};

/*
 * Has the copy the same clusters for the same things, and the same bytes in all tables? Not compared are
 * guest data and the LUKS header. ERROR_FAILED/EIO, naming the first byte that differs.
 */
int qcow2_compare_tables(const struct qcow2_side *image, const struct qcow2_side *copy, struct error *e);

/* Where the guest's bytes from `offset` on (a cluster's start) are in the file, by the active tables; 0: nowhere. */
int qcow2_find(const struct qcow2_side *image, uint64_t offset, uint64_t *ret, struct error *e);

#endif
