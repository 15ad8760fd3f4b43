/*
 * qcow2 as far as an encrypted image needs it: strict reading of an untrusted header, writing of
 * an empty image with a LUKS header. Format: QEMU docs/interop/qcow2.txt ("Header", "Header
 * extensions", "Full disk encryption header pointer", "Host cluster management").
 */
#ifndef LIB_IMAGE_QCOW2_QCOW2_H
#define LIB_IMAGE_QCOW2_QCOW2_H

#include "base/error.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum qcow2_crypt {
	QCOW2_CRYPT_NONE = 0,
	QCOW2_CRYPT_AES = 1,	/* the old, broken one; refused where encryption is needed */
	QCOW2_CRYPT_LUKS = 2,
};

struct qcow2_header {
	uint32_t version;	/* 2 or 3 */
	uint32_t cluster_bits;	/* 9…21 */
	uint32_t refcount_bits;	/* 1…64 */
	uint64_t size;		/* virtual size, bytes */
	enum qcow2_crypt crypt;
	uint64_t luks_offset, luks_length;	/* region of the LUKS header; 0 if none */
	uint64_t l1_offset, refcount_offset;	/* bytes */
	uint32_t l1_entries, refcount_clusters;
	uint32_t n_snapshots;
	uint64_t snapshots_offset;	/* 0 if there are none */
	/* The bitmap directory, if the bitmaps are in force; else 0. */
	uint64_t bitmaps_offset, bitmaps_length;
	uint32_t n_bitmaps;
	uint64_t incompatible, compatible, autoclear;
	bool extended_l2;
	char backing[1024];	/* "" if none; a plain path, checked */
	char backing_format[16];	/* "" if the header does not say */
};

/*
 * Reads and checks the header of fd (file_size bytes). Refused with ERROR_DAMAGED and a line that
 * names the field: impossible lengths and offsets, structures overlapping the header or outside
 * the file, external data files, corrupt or unknown incompatible features, backing names that are
 * not plain paths ("json:", "nbd:", "host:" …), extensions that overrun, legacy AES; and lists of snapshots
 * and bitmaps that QEMU would not open. Writes nothing.
 */
int qcow2_read(int fd, uint64_t file_size, const char *what, struct qcow2_header *ret, struct error *e);

/* The header alone, of bytes already in memory (the first len bytes of a file of file_size); fuzzed. */
int qcow2_parse(const unsigned char *bytes, size_t len, uint64_t file_size, const char *what,
		struct qcow2_header *ret, struct error *e);

/* True if the bytes at the start of a file are a qcow2 magic. */
bool qcow2_is(const unsigned char *bytes, size_t len);

enum qcow2_prealloc {
	QCOW2_PREALLOC_OFF,
	QCOW2_PREALLOC_METADATA,	/* L2 tables and refcounts written, data sparse */
	QCOW2_PREALLOC_FALLOC,		/* + blocks reserved with posix_fallocate */
	QCOW2_PREALLOC_FULL,		/* + blocks written with zeros */
};

struct qcow2_params {
	uint64_t size;			/* virtual, bytes, multiple of 512 */
	uint32_t cluster_size;		/* 512 … 2 MiB, power of two */
	uint32_t refcount_bits;		/* 16 is QEMU's default; 0 means 16 */
	bool extended_l2;		/* needs clusters of 16 KiB and more */
	enum qcow2_prealloc prealloc;	/* not off: no backing file */
	const char *backing;		/* stored as given, or NULL */
	const char *backing_format;	/* "raw", "qcow2", "luks"; needed with backing */
};

/* The largest virtual size QEMU opens for this cluster size (bytes; L1 limit of 32 MiB). */
uint64_t qcow2_max_size(uint32_t cluster_size, bool extended_l2);

/*
 * Writes a new image with room for a LUKS1 header of luks_len bytes into the empty file fd. Checks the
 * parameters (ERROR_USAGE) before the first byte. *ret_offset: where the LUKS header belongs; there are
 * zeros, without space on the disk unless it is to be preallocated.
 */
int qcow2_write(int fd, const struct qcow2_params *p, size_t luks_len, const struct progress *progress,
		uint64_t *ret_offset, struct error *e);

/*
 * Another name for the backing file of the image fd (open to be changed, and locked), synced. dry_run: only whether it
 * could be. ERROR_FAILED/ENAMETOOLONG: the header's cluster has no room for it.
 */
int qcow2_set_backing(int fd, const char *what, const char *name, bool dry_run, struct error *e);

#endif
