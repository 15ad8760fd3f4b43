/*
 * Writes an empty LUKS-encrypted qcow2 image from scratch: `qemu-img create` needs seconds, for
 * its key derivation benchmark, and fails at random where the clock is virtual.
 *
 * What is all zeros is a hole. A preallocated disk reads as noise until the guest has written it,
 * as one made by QEMU does: zeros on disk are not zeros after decryption.
 */
#include "lib/image/qcow2/qcow2.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/bytes.h"
#include "lib/image/qcow2/format.h"
#include "lib/image/qcow2/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK (1024u * 1024)
#define WHAT "the new image"

static unsigned char *put_extension(unsigned char *at, uint32_t type, uint32_t len)
{
	put_be32(at, type);
	put_be32(at + 4, len);
	return at + EXT_HEAD_LEN;
}

/* The bytes of the first cluster up to the end of the backing name. */
static size_t make_header(const struct qcow2_params *p, const struct qcow2_layout *l, size_t luks_len,
			  unsigned char *h)
{
	unsigned char *at = h + HDR_LEN_V3;
	memcpy(h, QCOW2_MAGIC, QCOW2_MAGIC_LEN);
	put_be32(h + HDR_VERSION, 3);
	put_be32(h + HDR_CLUSTER_BITS, l->cluster_bits);
	put_be64(h + HDR_SIZE, p->size);
	put_be32(h + HDR_CRYPT, QCOW2_CRYPT_LUKS);
	put_be32(h + HDR_L1_ENTRIES, (uint32_t)l->l1_entries);
	put_be64(h + HDR_L1_OFFSET, l->l1 * l->cluster_size);
	put_be64(h + HDR_REFCOUNT_OFFSET, l->refcount_table * l->cluster_size);
	put_be32(h + HDR_REFCOUNT_CLUSTERS, (uint32_t)l->n_refcount_table);
	put_be64(h + HDR_INCOMPATIBLE, p->extended_l2 ? INCOMPAT_EXTENDED_L2 : 0);
	put_be32(h + HDR_REFCOUNT_ORDER, (uint32_t)__builtin_ctz(l->refcount_bits));
	put_be32(h + HDR_LENGTH, HDR_LEN_V3);

	if (p->backing) {
		uint32_t len = (uint32_t)strlen(p->backing_format);
		at = put_extension(at, EXT_BACKING_FORMAT, len);
		memcpy(at, p->backing_format, len);
		at += 8; /* no format name is longer; padded to a multiple of 8 */
	}
	at = put_extension(at, EXT_LUKS, EXT_LUKS_LEN);
	put_be64(at, l->luks * l->cluster_size);
	put_be64(at + 8, luks_len);
	at = put_extension(at + EXT_LUKS_LEN, EXT_END, 0);
	if (p->backing) {
		uint32_t len = (uint32_t)strlen(p->backing);
		put_be64(h + HDR_BACKING_OFFSET, (uint64_t)(at - h));
		put_be32(h + HDR_BACKING_SIZE, len);
		memcpy(at, p->backing, len);
		at += len;
	}
	return (size_t)(at - h);
}

/* A table of big-endian entries first, first + step, …; each followed by extra if wide. */
struct series {
	uint64_t offset;	/* in the file */
	uint64_t count, first, step, flags;
	bool wide;
	uint64_t extra;
};

static int write_series(int fd, const struct series *s, unsigned char *chunk, struct error *e)
{
	size_t width = s->wide ? 16 : 8;
	for (uint64_t done = 0; done < s->count;) {
		size_t n = 0;
		for (; n < CHUNK / width && done + n < s->count; n++) {
			put_be64(chunk + n * width, (s->first + (done + n) * s->step) | s->flags);
			if (s->wide)
				put_be64(chunk + n * width + 8, s->extra);
		}
		int r = file_pwrite(fd, chunk, n * width, s->offset + done * width, WHAT, e);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

/* Refcounts of one for the clusters from first on: "Refcount block entry". Narrow entries fill a
 * byte from its low bits; wide ones are big-endian, so their last byte is the 1. */
static void fill_ones(unsigned char *buf, uint64_t count, uint32_t bits)
{
	static const unsigned char narrow[] = { [1] = 0xff, [2] = 0x55, [4] = 0x11, [8] = 0x01 };
	uint64_t whole = count * bits / 8;
	if (bits > 8) {
		for (uint64_t i = 0; i < count; i++)
			buf[i * bits / 8 + bits / 8 - 1] = 1;
		return;
	}
	memset(buf, narrow[bits], whole);
	if (count * bits % 8)
		buf[whole] = narrow[bits] & ((1u << (count * bits % 8)) - 1);
}

static int write_refcounts(int fd, const struct qcow2_layout *l, unsigned char *chunk, struct error *e)
{
	const struct series table = {
		.offset = l->refcount_table * l->cluster_size,
		.count = l->n_refcount_blocks,
		.first = l->refcount_blocks * l->cluster_size,
		.step = l->cluster_size,
	};
	uint64_t per_chunk = (uint64_t)CHUNK * 8 / l->refcount_bits;
	int r = write_series(fd, &table, chunk, e);
	/* The blocks are neighbours, so they are one long array of l->total entries. */
	for (uint64_t done = 0; r == 0 && done < l->total; done += per_chunk) {
		uint64_t n = l->total - done < per_chunk ? l->total - done : per_chunk;
		size_t bytes = (size_t)ceil_div(n * l->refcount_bits, 8);
		memset(chunk, 0, bytes);
		fill_ones(chunk, n, l->refcount_bits);
		r = file_pwrite(fd, chunk, bytes,
				l->refcount_blocks * l->cluster_size + done * l->refcount_bits / 8, WHAT, e);
	}
	return r;
}

/* All L2 tables and all data clusters exist, in order: two arithmetic series. */
static int write_mappings(int fd, const struct qcow2_layout *l, unsigned char *chunk, struct error *e)
{
	const struct series l1 = {
		.offset = l->l1 * l->cluster_size,
		.count = l->n_l2,
		.first = l->l2 * l->cluster_size,
		.step = l->cluster_size,
		.flags = ENTRY_COPIED,
	};
	const struct series l2 = {
		.offset = l->l2 * l->cluster_size,
		.count = l->n_data,
		.first = l->data * l->cluster_size,
		.step = l->cluster_size,
		.flags = ENTRY_COPIED,
		.wide = l->entry_bytes == 16,
		.extra = SUBCLUSTERS_ALLOCATED,
	};
	int r = write_series(fd, &l1, chunk, e);
	return r < 0 ? r : write_series(fd, &l2, chunk, e);
}

static int reserve(int fd, uint64_t start, uint64_t len, const char *what, struct error *e)
{
	int err = posix_fallocate(fd, (off_t)start, (off_t)len);
	return err ? error_errno(e, ERROR_FAILED, err, "cannot reserve space for %s", what) : 0;
}

static int write_data(int fd, const struct qcow2_layout *l, enum qcow2_prealloc how,
		      const struct progress *progress, unsigned char *chunk, struct error *e)
{
	uint64_t start = l->data * l->cluster_size, len = l->n_data * l->cluster_size;
	int r = reserve(fd, l->luks * l->cluster_size, l->n_luks * l->cluster_size, "the LUKS header", e);
	if (r < 0 || how == QCOW2_PREALLOC_FALLOC)
		return r < 0 ? r : reserve(fd, start, len, "the disk", e);
	memset(chunk, 0, CHUNK);
	for (uint64_t done = 0; done < len; done += CHUNK) {
		size_t n = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
		r = file_pwrite(fd, chunk, n, start + done, WHAT, e);
		if (r < 0)
			return r;
		if (progress_report(progress, "preallocating", done + n, len))
			return error_set(e, ERROR_FAILED, ECANCELED, "cancelled");
	}
	return 0;
}

static int check_target(int fd, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", WHAT);
	if (!S_ISREG(st.st_mode) || st.st_size)
		return error_set(e, ERROR_USAGE, EINVAL, "a qcow2 image is made in a new, empty file");
	return 0;
}

int qcow2_write(int fd, const struct qcow2_params *p, size_t luks_len, const struct progress *progress,
		uint64_t *ret_offset, struct error *e)
{
	struct qcow2_layout l = { 0 };
	int r;
	if ((r = qcow2_plan(p, luks_len, &l, e)) < 0 || (r = check_target(fd, e)) < 0)
		return r;
	AUTOFREE unsigned char *chunk = calloc(1, CHUNK);
	if (!chunk)
		return error_oom(e);
	if (ftruncate(fd, (off_t)(l.total * l.cluster_size)) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot size %s", WHAT);
	size_t header_len = make_header(p, &l, luks_len, chunk);
	if ((r = file_pwrite(fd, chunk, header_len, 0, WHAT, e)) < 0 ||
	    (r = write_refcounts(fd, &l, chunk, e)) < 0)
		return r;
	if (p->prealloc != QCOW2_PREALLOC_OFF && (r = write_mappings(fd, &l, chunk, e)) < 0)
		return r;
	if (p->prealloc > QCOW2_PREALLOC_METADATA &&
	    (r = write_data(fd, &l, p->prealloc, progress, chunk, e)) < 0)
		return r;
	*ret_offset = l.luks * l.cluster_size;
	return 0;
}
