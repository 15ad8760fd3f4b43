/* The tables of a qcow2 beside those of the disk: snapshots, refcounts, bitmaps. */
#include "lib/image/qcow2/walk.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/qcow2/format.h"

/* "Snapshots": offsets in an entry. */
enum {
	SNAP_L1_OFFSET = 0,
	SNAP_L1_ENTRIES = 8,
	SNAP_ID_LEN = 12,
	SNAP_NAME_LEN = 14,
	SNAP_EXTRA_LEN = 36,
};

/* "Bitmap directory". */
enum {
	BITMAP_TABLE_OFFSET = 0,
	BITMAP_TABLE_ENTRIES = 8,
	BITMAP_NAME_LEN = 18,
	BITMAP_EXTRA_LEN = 20,
};

static uint64_t padded(uint64_t len)
{
	return (len + 7) / 8 * 8;
}

/* How long the table is follows from its entries alone. */
int qcow2_walk_snapshots(const struct qcow2_walk *w)
{
	uint64_t at = w->h->snapshots_offset;
	if (!w->h->n_snapshots)
		return 0;
	for (uint32_t i = 0; i < w->h->n_snapshots; i++) {
		unsigned char s[SNAPSHOT_ENTRY_MIN];
		int res = file_pread(w->fd, s, sizeof(s), at, w->what, w->e);
		if (res == 0)
			res = qcow2_walk_l1(w, get_be64(s + SNAP_L1_OFFSET), get_be32(s + SNAP_L1_ENTRIES));
		if (res < 0)
			return res;
		uint32_t extra = get_be32(s + SNAP_EXTRA_LEN);
		if (extra > SNAPSHOT_EXTRA_MAX)
			return qcow2_walk_damaged(w, "a snapshot's extra data is too long");
		at += padded(SNAPSHOT_ENTRY_MIN + (uint64_t)extra + get_be16(s + SNAP_ID_LEN) + get_be16(s + SNAP_NAME_LEN));
	}
	/* The last entry need not be padded. */
	uint64_t end = at < w->map->file_size ? at : w->map->file_size;
	return qcow2_walk_claim(w, w->h->snapshots_offset, end - w->h->snapshots_offset, "the snapshot table");
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

static int read_bitmap(const struct qcow2_walk *w, uint64_t offset, uint32_t entries)
{
	AUTOFREE unsigned char *table = NULL;
	uint64_t cluster = UINT64_C(1) << w->h->cluster_bits;
	if (!entries || entries > BITMAP_TABLE_MAX)
		return qcow2_walk_damaged(w, "a bitmap's table has %u entries", entries);
	int res = qcow2_walk_read(w, offset, (uint64_t)entries * 8, "a bitmap's table", &table);
	for (uint32_t i = 0; i < entries && res == 0; i++) {
		uint64_t bits = get_be64(table + 8 * i) & ENTRY_OFFSET;
		if (bits)
			res = qcow2_walk_claim(w, bits, cluster, "a bitmap's data");
	}
	return res;
}

int qcow2_walk_bitmaps(const struct qcow2_walk *w)
{
	AUTOFREE unsigned char *d = NULL;
	uint64_t at = 0, len = w->h->bitmaps_length;
	if (!w->h->n_bitmaps)
		return 0;
	int res = qcow2_walk_read(w, w->h->bitmaps_offset, len, "the bitmap directory", &d);
	for (uint32_t i = 0; i < w->h->n_bitmaps && res == 0; i++) {
		if (at > len || len - at < BITMAP_ENTRY_MIN)
			return qcow2_walk_damaged(w, "the bitmap directory is too short");
		const unsigned char *b = d + at;
		res = read_bitmap(w, get_be64(b + BITMAP_TABLE_OFFSET), get_be32(b + BITMAP_TABLE_ENTRIES));
		at += padded(BITMAP_ENTRY_MIN + (uint64_t)get_be16(b + BITMAP_NAME_LEN) + get_be32(b + BITMAP_EXTRA_LEN));
	}
	return res;
}
