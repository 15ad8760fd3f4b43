#include "lib/image/qcow2/lists.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	BITMAP_FLAGS = 12,
	BITMAP_TYPE = 16,
	BITMAP_GRANULARITY = 17,
	BITMAP_NAME_LEN = 18,
	BITMAP_EXTRA_LEN = 20,
};
#define BITMAP_FLAG_IN_USE 1u
#define BITMAP_FLAGS_RESERVED 0xfffffffcu
#define BITMAP_ENTRY_RESERVED UINT64_C(0xff000000000001fe)
#define BITMAP_ENTRY_ALL_ONES 1u

__attribute__((format(printf, 3, 4)))
static int damaged(const struct qcow2_lists *l, struct error *e, const char *fmt, ...)
{
	char why[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: qcow2 lists: %s (qemu-img check says more)", l->what, why);
}

static uint64_t padded(uint64_t len)
{
	return (len + 7) / 8 * 8;
}

int qcow2_each_snapshot(const struct qcow2_lists *l, uint64_t *ret_length, struct error *e)
{
	uint64_t start = l->h->snapshots_offset, at = start;
	int r = 0;
	for (uint32_t i = 0; i < l->h->n_snapshots && r == 0; i++) {
		unsigned char s[SNAPSHOT_ENTRY_MIN];
		if (at > l->file_size || l->file_size - at < sizeof(s))
			return damaged(l, e, "the snapshot table goes beyond the end of the file");
		if ((r = file_pread(l->fd, s, sizeof(s), at, l->what, e)) < 0)
			return r;
		uint32_t extra = get_be32(s + SNAP_EXTRA_LEN);
		if (extra > SNAPSHOT_EXTRA_MAX)
			return damaged(l, e, "a snapshot's extra data is too long");
		at += SNAPSHOT_ENTRY_MIN + (uint64_t)extra + get_be16(s + SNAP_ID_LEN) + get_be16(s + SNAP_NAME_LEN);
		/* The last entry need not be padded. */
		if (at > l->file_size || at - start > SNAPSHOT_TABLE_MAX)
			return damaged(l, e, "the snapshot table is too long");
		if (l->snapshot)
			r = l->snapshot(l->ctx, get_be64(s + SNAP_L1_OFFSET), get_be32(s + SNAP_L1_ENTRIES));
		if (i + 1 < l->h->n_snapshots)
			at = start + padded(at - start);
	}
	if (r == 0 && ret_length)
		*ret_length = l->h->n_snapshots ? at - start : 0;
	return r;
}

/* Every bit of the disk has its place in the bitmap, unless it was not closed. */
static bool fits(const struct qcow2_lists *l, const unsigned char *b)
{
	uint64_t cluster = UINT64_C(1) << l->h->cluster_bits, granularity = UINT64_C(1) << b[BITMAP_GRANULARITY];
	uint64_t bits = l->h->size / granularity + (l->h->size % granularity != 0), bytes = bits / 8 + (bits % 8 != 0);
	return get_be32(b + BITMAP_FLAGS) & BITMAP_FLAG_IN_USE ||
	       bytes / cluster + (bytes % cluster != 0) == get_be32(b + BITMAP_TABLE_ENTRIES);
}

static int check_bitmap(const struct qcow2_lists *l, const unsigned char *b, struct error *e)
{
	uint64_t cluster = UINT64_C(1) << l->h->cluster_bits, offset = get_be64(b + BITMAP_TABLE_OFFSET);
	uint32_t entries = get_be32(b + BITMAP_TABLE_ENTRIES), name = get_be16(b + BITMAP_NAME_LEN);
	if (!offset || offset % cluster || !entries || entries > BITMAP_TABLE_MAX ||
	    entries > BITMAP_BYTES_MAX / cluster || offset > l->file_size ||
	    entries * UINT64_C(8) > l->file_size - offset)
		return damaged(l, e, "a bitmap's table of %u entries is not possible", entries);
	if (b[BITMAP_TYPE] != 1 || get_be32(b + BITMAP_FLAGS) & BITMAP_FLAGS_RESERVED || get_be32(b + BITMAP_EXTRA_LEN))
		return damaged(l, e, "a bitmap is of an unknown kind");
	if (b[BITMAP_GRANULARITY] < 9 || b[BITMAP_GRANULARITY] > 31 || !name || name > BITMAP_NAME_MAX)
		return damaged(l, e, "a bitmap's granularity or name is not possible");
	return fits(l, b) ? 0 : damaged(l, e, "a bitmap is not as long as the disk");
}

static int read_bitmap(const struct qcow2_lists *l, const unsigned char *b, struct error *e)
{
	uint64_t offset = get_be64(b + BITMAP_TABLE_OFFSET);
	uint32_t entries = get_be32(b + BITMAP_TABLE_ENTRIES);
	int r = check_bitmap(l, b, e);
	if (r < 0)
		return r;
	AUTOFREE unsigned char *table = malloc((size_t)entries * 8);
	if (!table)
		return error_oom(e);
	if ((r = file_pread(l->fd, table, (size_t)entries * 8, offset, l->what, e)) < 0)
		return r;
	for (uint32_t i = 0; i < entries; i++) {
		uint64_t bits = get_be64(table + 8 * i), at = bits & ENTRY_OFFSET;
		if (bits & BITMAP_ENTRY_RESERVED || (at && bits & BITMAP_ENTRY_ALL_ONES) ||
		    at % (UINT64_C(1) << l->h->cluster_bits) || at > l->file_size)
			return damaged(l, e, "a bitmap's table has an impossible entry");
	}
	return l->bitmap ? l->bitmap(l->ctx, table, offset, entries) : 0;
}

static int compare_names(const void *a, const void *b)
{
	const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;
	int n = get_be16(x + BITMAP_NAME_LEN), m = get_be16(y + BITMAP_NAME_LEN);
	return n != m ? n - m : memcmp(x + BITMAP_ENTRY_MIN, y + BITMAP_ENTRY_MIN, (size_t)n);
}

static int check_names(const struct qcow2_lists *l, unsigned char **names, struct error *e)
{
	qsort(names, l->h->n_bitmaps, sizeof(*names), compare_names);
	for (uint32_t i = 1; i < l->h->n_bitmaps; i++)
		if (!compare_names(&names[i - 1], &names[i]))
			return damaged(l, e, "two bitmaps have one name");
	return 0;
}

int qcow2_each_bitmap(const struct qcow2_lists *l, struct error *e)
{
	uint64_t at = 0, len = l->h->bitmaps_length;
	if (!l->h->n_bitmaps)
		return 0;
	AUTOFREE unsigned char *d = malloc(len);
	AUTOFREE unsigned char **names = calloc(l->h->n_bitmaps, sizeof(*names));
	if (!d || !names)
		return error_oom(e);
	int r = file_pread(l->fd, d, len, l->h->bitmaps_offset, l->what, e);
	for (uint32_t i = 0; i < l->h->n_bitmaps && r == 0; i++) {
		unsigned char *b = names[i] = d + at;
		if (len - at < BITMAP_ENTRY_MIN)
			return damaged(l, e, "the bitmap directory is too short");
		uint64_t entry = padded(BITMAP_ENTRY_MIN + (uint64_t)get_be16(b + BITMAP_NAME_LEN) +
					get_be32(b + BITMAP_EXTRA_LEN));
		if (entry > len - at)
			return damaged(l, e, "the bitmap directory is too short");
		r = read_bitmap(l, b, e);
		at += entry;
	}
	if (r == 0 && at != len)
		return damaged(l, e, "the bitmap directory is longer than its bitmaps");
	return r < 0 ? r : check_names(l, names, e);
}
