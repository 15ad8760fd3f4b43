#include "lib/image/qcow2/walk.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int qcow2_walk_damaged(const struct qcow2_walk *w, const char *fmt, ...)
{
	char why[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return error_set(w->e, ERROR_DAMAGED, EBADMSG, "%s: qcow2 tables: %s (qemu-img check says more)", w->what, why);
}

static bool has(const unsigned char *bits, uint64_t n)
{
	return bits[n / 8] >> (n % 8) & 1;
}

static void set(unsigned char *bits, uint64_t n)
{
	bits[n / 8] |= (unsigned char)(1u << n % 8);
}

/* Whole clusters begin on one, and nothing lies in the header's. */
static int check(const struct qcow2_walk *w, uint64_t offset, uint64_t len, const char *name)
{
	uint64_t cluster = UINT64_C(1) << w->h->cluster_bits;
	if (offset % cluster)
		return qcow2_walk_damaged(w, "%s is not at a cluster's start", name);
	if (offset > w->map->file_size || len > w->map->file_size - offset)
		return qcow2_walk_damaged(w, "%s lies outside the file", name);
	return 0;
}

int qcow2_walk_claim(const struct qcow2_walk *w, uint64_t offset, uint64_t len, const char *name)
{
	int res = check(w, offset, len, name);
	if (res < 0 || !len)
		return res;
	for (uint64_t n = offset >> w->h->cluster_bits; n <= (offset + len - 1) >> w->h->cluster_bits; n++) {
		if (has(w->map->tables, n))
			return qcow2_walk_damaged(w, "%s lies upon another table", name);
		set(w->map->tables, n);
	}
	return 0;
}

int qcow2_walk_read(const struct qcow2_walk *w, uint64_t offset, uint64_t len, const char *name, unsigned char **ret)
{
	int res = qcow2_walk_claim(w, offset, len, name);
	if (res < 0)
		return res;
	AUTOFREE unsigned char *bytes = malloc(len);
	if (!bytes)
		return error_oom(w->e);
	res = file_pread(w->fd, bytes, len, offset, w->what, w->e);
	if (res == 0)
		*ret = TAKE_PTR(bytes);
	return res;
}

/* The last cluster of a file may be shorter, but not end within a sector, which would be encrypted as one. */
static int add_data(const struct qcow2_walk *w, uint64_t entry)
{
	uint64_t offset = entry & ENTRY_OFFSET, cluster = UINT64_C(1) << w->h->cluster_bits;
	if (entry & ENTRY_COMPRESSED)
		return error_set(w->e, ERROR_FAILED, EOPNOTSUPP,
				 "%s has compressed clusters, which QEMU does not encrypt: copy it with qemu-img "
				 "convert first",
				 w->what);
	if (!offset)
		return 0;
	int res = check(w, offset, 1, "guest data");
	if (res < 0)
		return res;
	if (w->map->file_size - offset < cluster && w->map->file_size % 512)
		return qcow2_walk_damaged(w, "guest data is cut off at the end of the file");
	set(w->map->data, offset >> w->h->cluster_bits);
	return 0;
}

/* Snapshots share most of their L2 tables. */
static int read_l2(const struct qcow2_walk *w, uint64_t offset)
{
	uint64_t cluster = UINT64_C(1) << w->h->cluster_bits;
	size_t step = w->h->extended_l2 ? 16 : 8;
	int res = check(w, offset, cluster, "an L2 table");
	if (res < 0 || has(w->l2_seen, offset >> w->h->cluster_bits))
		return res;
	res = qcow2_walk_claim(w, offset, cluster, "an L2 table");
	if (res == 0)
		res = file_pread(w->fd, w->cluster, cluster, offset, w->what, w->e);
	for (size_t at = 0; at < cluster && res == 0; at += step)
		res = add_data(w, get_be64(w->cluster + at));
	set(w->l2_seen, offset >> w->h->cluster_bits);
	return res;
}

int qcow2_walk_l1(const struct qcow2_walk *w, uint64_t offset, uint64_t entries)
{
	AUTOFREE unsigned char *l1 = NULL;
	if (!entries)
		return 0;
	if (entries * 8 > L1_BYTES_MAX)
		return qcow2_walk_damaged(w, "an L1 table is too large");
	int res = qcow2_walk_read(w, offset, entries * 8, "an L1 table", &l1);
	for (uint64_t i = 0; i < entries && res == 0; i++) {
		uint64_t l2 = get_be64(l1 + 8 * i) & ENTRY_OFFSET;
		if (l2)
			res = read_l2(w, l2);
	}
	return res;
}

static int walk(const struct qcow2_walk *w)
{
	const struct qcow2_header *h = w->h;
	const struct qcow2_map *m = w->map;
	int res = qcow2_walk_claim(w, 0, 1, "the header");
	if (res == 0)
		res = qcow2_walk_claim(w, h->luks_offset, h->luks_length, "the LUKS header");
	if (res == 0)
		res = qcow2_walk_l1(w, h->l1_offset, h->l1_entries);
	if (res == 0)
		res = qcow2_walk_lists(w);
	if (res == 0)
		res = qcow2_walk_refcounts(w);
	for (uint64_t i = 0; i < m->n_clusters / 8 + 1 && res == 0; i++)
		if (m->data[i] & m->tables[i])
			res = qcow2_walk_damaged(w, "guest data lies upon a table or header");
	return res;
}

int qcow2_map_read(int fd, uint64_t file_size, const char *what, const struct qcow2_header *h,
		   struct qcow2_map *ret, struct error *e)
{
	struct qcow2_map map = {
		.cluster_bits = h->cluster_bits,
		.file_size = file_size,
		.n_clusters = (file_size >> h->cluster_bits) + 1,
	};
	size_t bytes = map.n_clusters / 8 + 1;
	map.data = calloc(bytes, 1);
	map.tables = calloc(bytes, 1);
	AUTOFREE unsigned char *seen = calloc(bytes, 1);
	AUTOFREE unsigned char *cluster = malloc((size_t)1 << h->cluster_bits);
	const struct qcow2_walk w = {
		.fd = fd, .what = what, .h = h, .map = &map, .l2_seen = seen, .cluster = cluster, .e = e,
	};
	int res = map.data && map.tables && seen && cluster ? walk(&w) : error_oom(e);
	if (res < 0) {
		qcow2_map_clear(&map);
		return res;
	}
	*ret = map;
	return 0;
}

void qcow2_map_clear(struct qcow2_map *m)
{
	free(m->data);
	free(m->tables);
	m->data = m->tables = NULL;
}
