/* The tables of a qcow2 beside those of the disk: snapshots, refcounts, bitmaps. */
#include "lib/image/qcow2/walk.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/qcow2/format.h"
#include "lib/image/qcow2/lists.h"

static int add_snapshot(void *ctx, uint64_t l1_offset, uint32_t l1_entries)
{
	return qcow2_walk_l1(ctx, l1_offset, l1_entries);
}

static int add_bitmap(void *ctx, const unsigned char *table, uint64_t offset, uint32_t entries)
{
	const struct qcow2_walk *w = ctx;
	int res = qcow2_walk_claim(w, offset, (uint64_t)entries * 8, "a bitmap's table");
	for (uint32_t i = 0; i < entries && res == 0; i++) {
		uint64_t bits = get_be64(table + 8 * i) & ENTRY_OFFSET;
		if (bits)
			res = qcow2_walk_claim(w, bits, UINT64_C(1) << w->h->cluster_bits, "a bitmap's data");
	}
	return res;
}

int qcow2_walk_lists(const struct qcow2_walk *w)
{
	uint64_t len;
	const struct qcow2_lists l = {
		.fd = w->fd, .file_size = w->map->file_size, .what = w->what, .h = w->h,
		.snapshot = add_snapshot, .bitmap = add_bitmap, .ctx = (void *)w,
	};
	int res = qcow2_each_snapshot(&l, &len, w->e);
	if (res == 0)
		res = qcow2_walk_claim(w, w->h->snapshots_offset, len, "the snapshot table");
	if (res == 0)
		res = qcow2_walk_claim(w, w->h->bitmaps_offset, w->h->bitmaps_length, "the bitmap directory");
	return res < 0 ? res : qcow2_each_bitmap(&l, w->e);
}

int qcow2_walk_refcounts(const struct qcow2_walk *w)
{
	AUTOFREE unsigned char *table = NULL;
	uint64_t cluster = UINT64_C(1) << w->h->cluster_bits, len = w->h->refcount_clusters * cluster;
	int res = qcow2_walk_read(w, w->h->refcount_offset, len, "the refcount table", &table);
	for (uint64_t i = 0; i < len / 8 && res == 0; i++) {
		uint64_t block = get_be64(table + 8 * i) & ~UINT64_C(0x1ff);
		if (block)
			res = qcow2_walk_claim(w, block, cluster, "a refcount block");
	}
	return res;
}
