/* Where everything goes in a new qcow2 image: checks of the parameters and exact refcounts. */
#include "lib/image/qcow2/layout.h"

#include "base/cleanup.h"
#include "lib/image/file/plain_path.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <string.h>

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static uint64_t bytes_per_l2(uint64_t cluster_size, bool extended_l2)
{
	return cluster_size / (extended_l2 ? 16 : 8) * cluster_size;
}

uint64_t qcow2_max_size(uint32_t cluster_size, bool extended_l2)
{
	return L1_BYTES_MAX / 8 * bytes_per_l2(cluster_size, extended_l2);
}

static int usage(struct error *e, const char *why)
{
	return error_set(e, ERROR_USAGE, EINVAL, "%s", why);
}

static int check_size(const struct qcow2_params *p, struct error *e)
{
	uint64_t max;
	if (!power_of_two(p->cluster_size) || p->cluster_size < 1u << CLUSTER_BITS_MIN ||
	    p->cluster_size > 1u << CLUSTER_BITS_MAX)
		return usage(e, "the cluster size is a power of two from 512 bytes to 2 MiB");
	if (p->extended_l2 && p->cluster_size < 1u << CLUSTER_BITS_MIN_EXTENDED)
		return usage(e, "extended L2 entries need clusters of 16 KiB and more");
	if (p->refcount_bits && (!power_of_two(p->refcount_bits) || p->refcount_bits > 64))
		return usage(e, "refcount bits are a power of two from 1 to 64");
	if (!p->size || p->size % 512)
		return usage(e, "the size of a disk is a multiple of 512 bytes, and not 0");
	max = qcow2_max_size(p->cluster_size, p->extended_l2);
	if (p->size > max)
		return error_set(e, ERROR_USAGE, EFBIG,
				 "with clusters of %u bytes%s a disk has at most %llu bytes "
				 "(larger clusters allow more)", p->cluster_size,
				 p->extended_l2 ? " and extended L2 entries" : "",
				 (unsigned long long)max);
	return 0;
}

/* The name and the header's extensions share the first cluster. */
static int check_backing(const struct qcow2_params *p, struct error *e)
{
	static const char *const formats[] = { "raw", "qcow2", "luks" };
	if (!p->backing)
		return p->backing_format ? usage(e, "a backing format without a backing file") : 0;
	if (p->prealloc != QCOW2_PREALLOC_OFF)
		return usage(e, "a disk with a backing file cannot be preallocated: that would hide it");
	const char *why = plain_path_problem(p->backing);
	if (why)
		return error_set(e, ERROR_USAGE, EINVAL, "backing file '%.200s': %s", p->backing, why);
	size_t known = 0;
	for (size_t i = 0; p->backing_format && i < ARRAY_LEN(formats); i++)
		known += !strcmp(p->backing_format, formats[i]);
	if (!known)
		return usage(e, "the format of the backing file must be given as raw, qcow2 or luks");
	/* Header, two extensions with their data, end marker. */
	size_t before = HDR_LEN_V3 + EXT_HEAD_LEN + EXT_LUKS_LEN + EXT_HEAD_LEN + 8 + EXT_HEAD_LEN;
	size_t len = strlen(p->backing);
	if (len > BACKING_NAME_MAX || len > p->cluster_size - before)
		return error_set(e, ERROR_USAGE, ENAMETOOLONG,
				 "the name of the backing file has %zu bytes; %zu are possible", len,
				 p->cluster_size - before < BACKING_NAME_MAX ? p->cluster_size - before
									     : BACKING_NAME_MAX);
	return 0;
}

/*
 * The refcount blocks count themselves and their table: grow both until they cover everything.
 * Each round adds less than the one before, so it ends after a few.
 */
static void size_refcounts(struct qcow2_layout *l, uint64_t others)
{
	uint64_t per_block = l->cluster_size * 8 / l->refcount_bits;
	uint64_t total = others, before;
	do {
		before = total;
		l->n_refcount_blocks = ceil_div(total, per_block);
		l->n_refcount_table = ceil_div(l->n_refcount_blocks * 8, l->cluster_size);
		total = others + l->n_refcount_blocks + l->n_refcount_table;
	} while (total != before);
	l->total = total;
}

static int plan(const struct qcow2_params *p, size_t luks_len, struct qcow2_layout *ret, struct error *e)
{
	struct qcow2_layout l = {
		.cluster_size = p->cluster_size,
		.cluster_bits = (uint32_t)__builtin_ctz(p->cluster_size),
		.refcount_bits = p->refcount_bits ? p->refcount_bits : 16,
		.entry_bytes = p->extended_l2 ? 16 : 8,
	};
	l.l1_entries = ceil_div(p->size, bytes_per_l2(l.cluster_size, p->extended_l2));
	l.n_luks = ceil_div(luks_len, l.cluster_size);
	l.n_l1 = ceil_div(l.l1_entries * 8, l.cluster_size);
	if (p->prealloc != QCOW2_PREALLOC_OFF) {
		l.n_l2 = l.l1_entries;
		l.n_data = ceil_div(p->size, l.cluster_size);
	}
	size_refcounts(&l, 1 + l.n_luks + l.n_l1 + l.n_l2 + l.n_data);
	if (l.n_refcount_table * l.cluster_size > REFTABLE_BYTES_MAX ||
	    l.total > (uint64_t)INT64_MAX / l.cluster_size)
		return error_set(e, ERROR_USAGE, EFBIG,
				 "a preallocated disk of this size needs larger clusters or fewer "
				 "refcount bits");
	l.refcount_table = 1;
	l.refcount_blocks = l.refcount_table + l.n_refcount_table;
	l.luks = l.refcount_blocks + l.n_refcount_blocks;
	l.l1 = l.luks + l.n_luks;
	l.l2 = l.l1 + l.n_l1;
	l.data = l.l2 + l.n_l2;
	*ret = l;
	return 0;
}

int qcow2_plan(const struct qcow2_params *p, size_t luks_len, struct qcow2_layout *ret, struct error *e)
{
	int r;
	if (luks_len < LUKS_REGION_MIN || luks_len > LUKS_REGION_MAX)
		return usage(e, "the LUKS header has an impossible length");
	if ((r = check_size(p, e)) < 0 || (r = check_backing(p, e)) < 0)
		return r;
	return plan(p, luks_len, ret, e);
}
