#include "lib/image/qcow2/map.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/bytes.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <stdlib.h>

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define ENTRY_COMPRESSED (UINT64_C(1) << 62)
/* "Snapshots": offsets in an entry. */
enum {
	SNAP_L1_OFFSET = 0,
	SNAP_L1_ENTRIES = 8,
	SNAP_ID_LEN = 12,
	SNAP_NAME_LEN = 14,
	SNAP_EXTRA_LEN = 36,
};
#define SNAP_EXTRA_MAX 1024u	/* QCOW_MAX_SNAPSHOT_EXTRA_DATA */

struct reader {
	int fd;
	uint64_t file_size;
	const char *what;
	const struct qcow2_header *h;
	struct qcow2_map *map;
	unsigned char *l2;
	struct error *e;
};

static int damaged(const struct reader *r, const char *problem)
{
	return error_set(r->e, ERROR_DAMAGED, EBADMSG, "%s: qcow2 tables: %s", r->what, problem);
}

/* A table or cluster of len bytes: whole clusters begin on one, nothing lies in the header's. */
static int check(const struct reader *r, uint64_t offset, uint64_t len)
{
	uint64_t cluster = UINT64_C(1) << r->h->cluster_bits;
	if (offset % cluster)
		return damaged(r, "an entry is not at a cluster's start");
	if (offset < cluster || offset > r->file_size || len > r->file_size - offset)
		return damaged(r, "an entry points outside the file");
	return 0;
}

static int add_data(const struct reader *r, uint64_t entry)
{
	uint64_t offset = entry & OFFSET_MASK;
	if (entry & ENTRY_COMPRESSED)
		return damaged(r, "a compressed cluster, which cannot be encrypted");
	if (!offset)
		return 0;
	/* The last cluster of a file may be shorter. */
	int res = check(r, offset, 1);
	if (res < 0)
		return res;
	if (offset + (UINT64_C(1) << r->h->cluster_bits) > r->h->luks_offset &&
	    offset < r->h->luks_offset + r->h->luks_length)
		return damaged(r, "guest data lies upon the LUKS header");
	uint64_t n = offset >> r->h->cluster_bits;
	r->map->bits[n / 8] |= (unsigned char)(1u << n % 8);
	return 0;
}

static int read_l2(const struct reader *r, uint64_t offset)
{
	uint64_t cluster = UINT64_C(1) << r->h->cluster_bits;
	size_t step = r->h->extended_l2 ? 16 : 8;
	int res = check(r, offset, cluster);
	if (res == 0)
		res = file_pread(r->fd, r->l2, cluster, offset, r->what, r->e);
	for (size_t at = 0; at < cluster && res == 0; at += step)
		res = add_data(r, get_be64(r->l2 + at));
	return res;
}

static int read_l1(const struct reader *r, uint64_t offset, uint64_t entries)
{
	uint64_t len = entries * 8;
	if (!entries)
		return 0;
	if (len > L1_BYTES_MAX)
		return damaged(r, "an L1 table is too large");
	int res = check(r, offset, len);
	if (res < 0)
		return res;
	AUTOFREE unsigned char *l1 = malloc(len);
	if (!l1)
		return error_oom(r->e);
	res = file_pread(r->fd, l1, len, offset, r->what, r->e);
	for (uint64_t i = 0; i < entries && res == 0; i++) {
		uint64_t l2 = get_be64(l1 + 8 * i) & OFFSET_MASK;
		if (l2)
			res = read_l2(r, l2);
	}
	return res;
}

static int read_snapshots(const struct reader *r, uint64_t at)
{
	for (uint32_t i = 0; i < r->h->n_snapshots; i++) {
		unsigned char s[SNAPSHOT_ENTRY_MIN];
		int res = file_pread(r->fd, s, sizeof(s), at, r->what, r->e);
		if (res == 0)
			res = read_l1(r, get_be64(s + SNAP_L1_OFFSET), get_be32(s + SNAP_L1_ENTRIES));
		if (res < 0)
			return res;
		uint32_t extra = get_be32(s + SNAP_EXTRA_LEN);
		if (extra > SNAP_EXTRA_MAX)
			return damaged(r, "a snapshot's extra data is too long");
		uint64_t len = SNAPSHOT_ENTRY_MIN + (uint64_t)extra + get_be16(s + SNAP_ID_LEN) + get_be16(s + SNAP_NAME_LEN);
		at += (len + 7) / 8 * 8;
	}
	return 0;
}

int qcow2_map_read(int fd, uint64_t file_size, const char *what, const struct qcow2_header *h,
		   struct qcow2_map *ret, struct error *e)
{
	struct qcow2_map map = { .cluster_bits = h->cluster_bits };
	map.n_clusters = (file_size >> h->cluster_bits) + 1;
	map.bits = calloc(map.n_clusters / 8 + 1, 1);
	AUTOFREE unsigned char *l2 = malloc((size_t)1 << h->cluster_bits);
	const struct reader r = {
		.fd = fd, .file_size = file_size, .what = what, .h = h, .map = &map, .l2 = l2, .e = e,
	};
	unsigned char field[8];
	int res = map.bits && l2 ? 0 : error_oom(e);
	if (res == 0)
		res = read_l1(&r, h->l1_offset, h->l1_entries);
	if (res == 0 && h->n_snapshots)
		res = file_pread(fd, field, sizeof(field), HDR_SNAPSHOTS_OFFSET, what, e);
	if (res == 0 && h->n_snapshots)
		res = read_snapshots(&r, get_be64(field));
	if (res < 0) {
		qcow2_map_clear(&map);
		return res;
	}
	*ret = map;
	return 0;
}

void qcow2_map_clear(struct qcow2_map *m)
{
	free(m->bits);
	m->bits = NULL;
}
