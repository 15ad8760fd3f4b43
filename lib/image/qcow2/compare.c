/* Is a copy of a qcow2 the same image, but for its guest data and LUKS header? */
#include "lib/image/qcow2/map.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (64u * 1024)

static int differs(const struct qcow2_side *copy, uint64_t at, struct error *e)
{
	return error_set(e, ERROR_FAILED, EIO, "%s differs from the image in a table at byte %llu", copy->path,
			 (unsigned long long)at);
}

struct pair {
	const struct qcow2_side *image, *copy;
	unsigned char *a, *b;	/* of BLOCK bytes */
};

static int compare_range(const struct pair *p, uint64_t at, uint64_t end, struct error *e)
{
	int res = 0;
	for (uint64_t n; at < end && res == 0; at += n) {
		n = end - at < BLOCK ? end - at : BLOCK;
		res = file_pread(p->image->fd, p->a, n, at, p->image->path, e);
		if (res == 0)
			res = file_pread(p->copy->fd, p->b, n, at, p->copy->path, e);
		if (res == 0 && memcmp(p->a, p->b, n) != 0)
			res = differs(p->copy, at, e);
	}
	return res;
}

static bool is_table(const struct qcow2_map *m, uint64_t n)
{
	return m->tables[n / 8] >> (n % 8) & 1;
}

/* [from, to) without the LUKS header: the rest of its last cluster was copied. */
static int compare_around(const struct pair *p, uint64_t from, uint64_t to, struct error *e)
{
	uint64_t luks = p->image->h->luks_offset, luks_end = luks + p->image->h->luks_length;
	if (to <= luks || from >= luks_end)
		return compare_range(p, from, to, e);
	int res = from < luks ? compare_range(p, from, luks, e) : 0;
	return res == 0 && to > luks_end ? compare_range(p, luks_end, to, e) : res;
}

int qcow2_compare_tables(const struct qcow2_side *image, const struct qcow2_side *copy, struct error *e)
{
	const struct qcow2_map *m = image->map, *c = copy->map;
	AUTOFREE unsigned char *buf = malloc(2 * BLOCK);
	const struct pair p = { image, copy, buf, buf ? buf + BLOCK : NULL };
	if (!buf)
		return error_oom(e);
	if (m->file_size != c->file_size || m->cluster_bits != c->cluster_bits || m->n_clusters != c->n_clusters ||
	    memcmp(m->data, c->data, m->n_clusters / 8 + 1) != 0 ||
	    memcmp(m->tables, c->tables, m->n_clusters / 8 + 1) != 0)
		return error_set(e, ERROR_FAILED, EIO, "%s has not its data where the image has it", copy->path);
	int res = 0;
	for (uint64_t n = 0, next; n < m->n_clusters && res == 0; n = next) {
		for (next = n + 1; next < m->n_clusters && is_table(m, next) == is_table(m, n);)
			next++;
		uint64_t end = next << m->cluster_bits;
		if (is_table(m, n))
			res = compare_around(&p, n << m->cluster_bits, end < m->file_size ? end : m->file_size, e);
	}
	return res;
}

int qcow2_find(const struct qcow2_side *image, uint64_t offset, uint64_t *ret, struct error *e)
{
	const struct qcow2_header *h = image->h;
	unsigned char entry[8];
	uint64_t step = h->extended_l2 ? 16 : 8, n = offset >> h->cluster_bits;
	uint64_t per_l2 = (UINT64_C(1) << h->cluster_bits) / step;
	*ret = 0;
	if (n / per_l2 >= h->l1_entries)
		return 0;
	int res = file_pread(image->fd, entry, sizeof(entry), h->l1_offset + n / per_l2 * 8, image->path, e);
	uint64_t l2 = get_be64(entry) & ENTRY_OFFSET;
	if (res < 0 || !l2)
		return res;
	res = file_pread(image->fd, entry, sizeof(entry), l2 + n % per_l2 * step, image->path, e);
	if (res == 0)
		*ret = get_be64(entry) & ENTRY_OFFSET;
	return res;
}
