/*
 * Where everything goes in a new qcow2 image: one run of clusters, each with a refcount of one.
 *
 *	header | refcount table | refcount blocks | LUKS header | L1 table | [L2 tables | data]
 */
#ifndef LIB_IMAGE_QCOW2_LAYOUT_H
#define LIB_IMAGE_QCOW2_LAYOUT_H

#include "lib/image/qcow2/qcow2.h"

struct qcow2_layout {
	uint32_t cluster_bits;
	uint64_t cluster_size;
	uint32_t refcount_bits;
	uint32_t entry_bytes;			/* of an L2 entry */
	uint64_t l1_entries;
	/* In clusters; what is not there has a count of 0. */
	uint64_t refcount_table, n_refcount_table;
	uint64_t refcount_blocks, n_refcount_blocks;
	uint64_t luks, n_luks;
	uint64_t l1, n_l1;
	uint64_t l2, n_l2;
	uint64_t data, n_data;
	uint64_t total;
};

static inline uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

/* Checks the parameters (ERROR_USAGE) and plans; luks_len bytes of LUKS header. */
int qcow2_plan(const struct qcow2_params *p, size_t luks_len, struct qcow2_layout *ret, struct error *e);

#endif
