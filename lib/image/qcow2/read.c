/*
 * The strict reading of a qcow2 header. An image is input from a stranger: whatever names another
 * file, points outside, overlaps or is not understood is refused with the name of the field.
 */
#include "lib/image/qcow2/qcow2.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/bytes.h"
#include "lib/image/file/plain_path.h"
#include "lib/image/qcow2/format.h"
#include "lib/image/qcow2/lists.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parser {
	const unsigned char *bytes;
	size_t len;		/* valid bytes, at most one cluster */
	uint64_t file_size;
	uint64_t cluster_size;
	const char *what;
	uint32_t header_length;
	uint64_t backing_offset;
	bool has_luks_ext, has_format_ext, has_bitmaps_ext;
	struct qcow2_header h;
	struct error *e;
};

__attribute__((format(printf, 2, 3)))
static int damaged(const struct parser *p, const char *fmt, ...)
{
	char why[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return error_set(p->e, ERROR_DAMAGED, EBADMSG, "%s: qcow2 header: %s", p->what, why);
}

static int parse_v3(struct parser *p)
{
	struct qcow2_header *h = &p->h;
	if (p->len < HDR_LEN_V3_MIN)
		return damaged(p, "header length: the file is too short");
	h->incompatible = get_be64(p->bytes + HDR_INCOMPATIBLE);
	h->compatible = get_be64(p->bytes + HDR_COMPATIBLE);
	h->autoclear = get_be64(p->bytes + HDR_AUTOCLEAR);
	p->header_length = get_be32(p->bytes + HDR_LENGTH);
	if (p->header_length < HDR_LEN_V3_MIN || p->header_length % 8 || p->header_length > p->len)
		return damaged(p, "header length %u is not possible", p->header_length);
	uint32_t order = get_be32(p->bytes + HDR_REFCOUNT_ORDER);
	if (order > REFCOUNT_ORDER_MAX)
		return damaged(p, "refcount order %u is not possible", order);
	h->refcount_bits = 1u << order;
	return 0;
}

static int check_features(const struct parser *p)
{
	const struct qcow2_header *h = &p->h;
	if (h->incompatible & INCOMPAT_DATA_FILE)
		return damaged(p, "incompatible features: the data is in an external data file");
	if (h->autoclear & AUTOCLEAR_RAW_DATA_FILE)
		return damaged(p, "autoclear features: names a raw external data file");
	if (h->incompatible & INCOMPAT_CORRUPT)
		return damaged(p, "the image is marked as corrupt (qemu-img check -r all)");
	if (h->incompatible & ~INCOMPAT_KNOWN)
		return damaged(p, "unknown incompatible features %#llx",
			       (unsigned long long)(h->incompatible & ~INCOMPAT_KNOWN));
	if (h->extended_l2 && h->cluster_bits < CLUSTER_BITS_MIN_EXTENDED)
		return damaged(p, "extended L2 entries need clusters of 16 KiB and more");
	unsigned compression = p->header_length > HDR_COMPRESSION ? p->bytes[HDR_COMPRESSION] : 0;
	if (!compression != !(h->incompatible & INCOMPAT_COMPRESSION))
		return damaged(p, "compression type and its feature bit disagree");
	return 0;
}

static int parse_fixed(struct parser *p)
{
	struct qcow2_header *h = &p->h;
	int r;
	if (p->len < HDR_LEN_V2)
		return damaged(p, "header length: the file is too short");
	if (!qcow2_is(p->bytes, p->len))
		return damaged(p, "magic is wrong");
	h->version = get_be32(p->bytes + HDR_VERSION);
	if (h->version != 2 && h->version != 3)
		return damaged(p, "version %u is neither 2 nor 3", h->version);
	h->cluster_bits = get_be32(p->bytes + HDR_CLUSTER_BITS);
	if (h->cluster_bits < CLUSTER_BITS_MIN || h->cluster_bits > CLUSTER_BITS_MAX)
		return damaged(p, "cluster bits %u are out of range", h->cluster_bits);
	p->cluster_size = UINT64_C(1) << h->cluster_bits;
	if (p->len > p->cluster_size)
		p->len = p->cluster_size;
	h->refcount_bits = 16;
	p->header_length = HDR_LEN_V2;
	if (h->version == 3 && (r = parse_v3(p)) < 0)
		return r;
	h->extended_l2 = h->incompatible & INCOMPAT_EXTENDED_L2;

	h->size = get_be64(p->bytes + HDR_SIZE);
	h->l1_entries = get_be32(p->bytes + HDR_L1_ENTRIES);
	h->l1_offset = get_be64(p->bytes + HDR_L1_OFFSET);
	h->refcount_offset = get_be64(p->bytes + HDR_REFCOUNT_OFFSET);
	h->refcount_clusters = get_be32(p->bytes + HDR_REFCOUNT_CLUSTERS);
	h->n_snapshots = get_be32(p->bytes + HDR_N_SNAPSHOTS);
	h->snapshots_offset = get_be64(p->bytes + HDR_SNAPSHOTS_OFFSET);
	p->backing_offset = get_be64(p->bytes + HDR_BACKING_OFFSET);
	return check_features(p);
}

static int parse_crypt(struct parser *p)
{
	uint32_t method = get_be32(p->bytes + HDR_CRYPT);
	if (method == QCOW2_CRYPT_AES)
		return damaged(p, "crypt method: the old AES encryption of qcow2 is broken; "
				  "copy the image with qemu-img convert");
	if (method != QCOW2_CRYPT_NONE && method != QCOW2_CRYPT_LUKS)
		return damaged(p, "crypt method %u is unknown", method);
	p->h.crypt = (enum qcow2_crypt)method;
	return 0;
}

/* A region of the file: not empty, aligned, behind the header's cluster, inside the file. */
static int check_region(const struct parser *p, const char *name, uint64_t offset, uint64_t len)
{
	if (offset % p->cluster_size)
		return damaged(p, "%s: offset is not aligned to a cluster", name);
	if (offset < p->cluster_size)
		return damaged(p, "%s: overlaps the header", name);
	if (offset > p->file_size || len > p->file_size - offset)
		return damaged(p, "%s: is outside the file", name);
	return 0;
}

static int check_l1(const struct parser *p)
{
	const struct qcow2_header *h = &p->h;
	uint64_t per_l2 = p->cluster_size / (h->extended_l2 ? 16 : 8);
	/* Bytes that one L1 entry stands for; 2^18 entries of 2^21 bytes at most, no overflow. */
	uint64_t per_l1 = per_l2 * p->cluster_size;
	if ((uint64_t)h->l1_entries * 8 > L1_BYTES_MAX)
		return damaged(p, "L1 size %u is too large", h->l1_entries);
	if (h->size / per_l1 + (h->size % per_l1 != 0) > h->l1_entries)
		return damaged(p, "L1 size %u is too small for the virtual size", h->l1_entries);
	if (!h->l1_entries)
		return 0;
	return check_region(p, "L1 table", h->l1_offset, (uint64_t)h->l1_entries * 8);
}

static int check_tables(const struct parser *p)
{
	const struct qcow2_header *h = &p->h;
	uint64_t reftable = h->refcount_clusters * p->cluster_size;
	int r = check_l1(p);
	if (r < 0)
		return r;
	if (!h->refcount_clusters || reftable > REFTABLE_BYTES_MAX)
		return damaged(p, "refcount table of %u clusters is not possible", h->refcount_clusters);
	if ((r = check_region(p, "refcount table", h->refcount_offset, reftable)) < 0)
		return r;
	if (h->n_snapshots > SNAPSHOTS_MAX)
		return damaged(p, "number of snapshots %u is too large", h->n_snapshots);
	/* QEMU looks at it also when there are none. */
	if (h->snapshots_offset % p->cluster_size || h->snapshots_offset > INT64_MAX)
		return damaged(p, "snapshot table: offset is not aligned to a cluster");
	if (h->n_snapshots)
		return check_region(p, "snapshot table", h->snapshots_offset,
				    (uint64_t)h->n_snapshots * SNAPSHOT_ENTRY_MIN);
	return 0;
}

static int parse_luks_ext(struct parser *p, const unsigned char *data, uint32_t len)
{
	if (p->has_luks_ext)
		return damaged(p, "encryption header extension appears twice");
	p->has_luks_ext = true;
	if (len != EXT_LUKS_LEN)
		return damaged(p, "encryption header extension has a wrong length");
	p->h.luks_offset = get_be64(data);
	p->h.luks_length = get_be64(data + 8);
	if (p->h.luks_length < LUKS_REGION_MIN || p->h.luks_length > LUKS_REGION_MAX)
		return damaged(p, "LUKS header length %llu is out of range",
			       (unsigned long long)p->h.luks_length);
	return check_region(p, "LUKS header", p->h.luks_offset, p->h.luks_length);
}

static int parse_format_ext(struct parser *p, const unsigned char *data, uint32_t len)
{
	if (p->has_format_ext)
		return damaged(p, "backing format extension appears twice");
	p->has_format_ext = true;
	if (!len || len >= sizeof(p->h.backing_format))
		return damaged(p, "backing format has a wrong length");
	for (uint32_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", data[i]) || !data[i])
			return damaged(p, "backing format is not the name of a format");
	memcpy(p->h.backing_format, data, len);
	p->h.backing_format[len] = 0;
	return 0;
}

/* Without its autoclear bit somebody wrote to the image who knows no bitmaps: what it names is not there any more. */
static int parse_bitmaps_ext(struct parser *p, const unsigned char *data, uint32_t len)
{
	struct qcow2_header *h = &p->h;
	if (p->has_bitmaps_ext)
		return damaged(p, "bitmaps extension appears twice");
	p->has_bitmaps_ext = true;
	if (len != EXT_BITMAPS_LEN)
		return damaged(p, "bitmaps extension has a wrong length");
	if (h->version < 3 || !(h->autoclear & AUTOCLEAR_BITMAPS))
		return 0;
	h->n_bitmaps = get_be32(data);
	h->bitmaps_length = get_be64(data + 8);
	h->bitmaps_offset = get_be64(data + 16);
	if (get_be32(data + 4))
		return damaged(p, "bitmaps extension: a reserved field is not zero");
	if (!h->n_bitmaps || h->n_bitmaps > BITMAPS_MAX || h->bitmaps_length > BITMAP_DIRECTORY_MAX ||
	    h->bitmaps_length / BITMAP_ENTRY_MIN < h->n_bitmaps)
		return damaged(p, "%u bitmaps in a directory of %llu bytes are not possible", h->n_bitmaps,
			       (unsigned long long)h->bitmaps_length);
	return check_region(p, "bitmap directory", h->bitmaps_offset, h->bitmaps_length);
}

static int parse_extension(struct parser *p, uint32_t type, const unsigned char *data, uint32_t len)
{
	switch (type) {
	case EXT_LUKS:
		return parse_luks_ext(p, data, len);
	case EXT_BACKING_FORMAT:
		return parse_format_ext(p, data, len);
	case EXT_DATA_FILE:
		return damaged(p, "names an external data file");
	case EXT_BITMAPS:
		return parse_bitmaps_ext(p, data, len);
	default:
		return 0; /* "other: unknown header extension, can be safely ignored" */
	}
}

/* The area ends at the type 0, at the backing name, or with the first cluster. */
static int parse_extensions(struct parser *p)
{
	uint64_t end = p->backing_offset ? p->backing_offset : p->len;
	uint64_t at = p->header_length;
	while (end - at >= EXT_HEAD_LEN) {
		uint32_t type = get_be32(p->bytes + at);
		uint32_t len = get_be32(p->bytes + at + 4);
		at += EXT_HEAD_LEN;
		/* Of the last one too, as QEMU has it. */
		if (len > end - at)
			return damaged(p, "header extension %#x overruns the header", type);
		if (type == EXT_END)
			return 0;
		int r = parse_extension(p, type, p->bytes + at, len);
		if (r < 0)
			return r;
		uint64_t padded = ((uint64_t)len + 7) / 8 * 8;
		at = padded < end - at ? at + padded : end;
	}
	return 0;
}

static int parse_backing(struct parser *p)
{
	uint32_t len = get_be32(p->bytes + HDR_BACKING_SIZE);
	if (!p->backing_offset)
		return 0; /* then the size is undefined */
	if (p->backing_offset < p->header_length || p->backing_offset > p->len)
		return damaged(p, "backing name: offset is outside the header's cluster");
	if (len > BACKING_NAME_MAX || len > p->len - p->backing_offset)
		return damaged(p, "backing name: length %u is too large", len);
	const char *name = (const char *)p->bytes + p->backing_offset;
	if (memchr(name, 0, len))
		return damaged(p, "backing name: has a zero byte in it");
	memcpy(p->h.backing, name, len);
	p->h.backing[len] = 0;
	const char *why = plain_path_problem(p->h.backing);
	if (why)
		return damaged(p, "backing name '%.200s': %s", p->h.backing, why);
	return 0;
}

struct region {
	const char *name;
	uint64_t offset, len;
};

static int check_overlaps(const struct parser *p)
{
	const struct qcow2_header *h = &p->h;
	const struct region regions[] = {
		{ "L1 table", h->l1_offset, (uint64_t)h->l1_entries * 8 },
		{ "refcount table", h->refcount_offset, h->refcount_clusters * p->cluster_size },
		{ "snapshot table", h->snapshots_offset, (uint64_t)h->n_snapshots * SNAPSHOT_ENTRY_MIN },
		{ "LUKS header", h->luks_offset, h->luks_length },
		{ "bitmap directory", h->bitmaps_offset, h->bitmaps_length },
	};
	for (size_t i = 0; i < ARRAY_LEN(regions); i++)
		for (size_t j = 0; j < i; j++) {
			const struct region *a = &regions[i], *b = &regions[j];
			if (a->len && b->len && a->offset < b->offset + b->len &&
			    b->offset < a->offset + a->len)
				return damaged(p, "%s and %s overlap", b->name, a->name);
		}
	return 0;
}

bool qcow2_is(const unsigned char *bytes, size_t len)
{
	return len >= QCOW2_MAGIC_LEN && !memcmp(bytes, QCOW2_MAGIC, QCOW2_MAGIC_LEN);
}

int qcow2_parse(const unsigned char *bytes, size_t len, uint64_t file_size, const char *what,
		struct qcow2_header *ret, struct error *e)
{
	struct parser p = { .bytes = bytes, .len = len, .file_size = file_size, .what = what, .e = e };
	int r;
	if (p.len > file_size)
		p.len = file_size;
	if ((r = parse_fixed(&p)) < 0 || (r = parse_crypt(&p)) < 0 || (r = parse_backing(&p)) < 0 ||
	    (r = check_tables(&p)) < 0 || (r = parse_extensions(&p)) < 0)
		return r;
	if (p.has_luks_ext != (p.h.crypt == QCOW2_CRYPT_LUKS))
		return damaged(&p, "crypt method and encryption header extension disagree");
	if ((r = check_overlaps(&p)) < 0)
		return r;
	*ret = p.h;
	return 0;
}

int qcow2_read(int fd, uint64_t file_size, const char *what, struct qcow2_header *ret, struct error *e)
{
	/* All the parser looks at is in the first cluster, and that is at most 2 MiB. */
	size_t len = file_size < (1u << CLUSTER_BITS_MAX) ? (size_t)file_size : 1u << CLUSTER_BITS_MAX;
	unsigned char head[HDR_LEN_V2];
	if (len >= sizeof(head)) {
		int r = file_pread(fd, head, sizeof(head), 0, what, e);
		if (r < 0)
			return r;
		uint32_t bits = get_be32(head + HDR_CLUSTER_BITS);
		if (bits >= CLUSTER_BITS_MIN && bits <= CLUSTER_BITS_MAX && len > (size_t)1 << bits)
			len = (size_t)1 << bits;
	}
	AUTOFREE unsigned char *bytes = malloc(len ? len : 1);
	if (!bytes)
		return error_oom(e);
	int r = file_pread(fd, bytes, len, 0, what, e);
	if (r < 0)
		return r;
	struct qcow2_header h;
	const struct qcow2_lists lists = { .fd = fd, .file_size = file_size, .what = what, .h = &h };
	if ((r = qcow2_parse(bytes, len, file_size, what, &h, e)) < 0 ||
	    (r = qcow2_each_snapshot(&lists, NULL, e)) < 0 || (r = qcow2_each_bitmap(&lists, e)) < 0)
		return r;
	*ret = h;
	return 0;
}
