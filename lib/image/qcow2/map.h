/*
 * Which host clusters of a qcow2 hold guest data (and are encrypted), by its L1 and L2 tables and
 * those of its internal snapshots. Format: QEMU docs/interop/qcow2.txt, "Cluster mapping",
 * "Snapshots".
 */
#ifndef LIB_IMAGE_QCOW2_MAP_H
#define LIB_IMAGE_QCOW2_MAP_H

#include "lib/image/qcow2/qcow2.h"

struct qcow2_map {
	uint32_t cluster_bits;
	uint64_t n_clusters;	/* of the file */
	unsigned char *bits;	/* one for each host cluster: it holds guest data */
};

/*
 * Reads the tables of an image that qcow2_read() accepted. ERROR_DAMAGED for entries outside the
 * file or upon the header; compressed clusters, which cannot be encrypted, are refused too.
 */
int qcow2_map_read(int fd, uint64_t file_size, const char *what, const struct qcow2_header *h,
		   struct qcow2_map *ret, struct error *e);
void qcow2_map_clear(struct qcow2_map *m);

static inline int qcow2_map_is_data(const struct qcow2_map *m, uint64_t offset)
{
	uint64_t n = offset >> m->cluster_bits;
	return n < m->n_clusters && m->bits[n / 8] >> (n % 8) & 1;
}

#endif
