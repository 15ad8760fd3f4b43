/* Numbers of the qcow2 format (QEMU docs/interop/qcow2.txt) and QEMU's limits (block/qcow2.h). */
#ifndef LIB_IMAGE_QCOW2_FORMAT_H
#define LIB_IMAGE_QCOW2_FORMAT_H

#include <stdint.h>

#define QCOW2_MAGIC "QFI\xfb"
#define QCOW2_MAGIC_LEN 4

/* "Header": offsets of the fields. */
enum {
	HDR_VERSION = 4,
	HDR_BACKING_OFFSET = 8,
	HDR_BACKING_SIZE = 16,
	HDR_CLUSTER_BITS = 20,
	HDR_SIZE = 24,
	HDR_CRYPT = 32,
	HDR_L1_ENTRIES = 36,
	HDR_L1_OFFSET = 40,
	HDR_REFCOUNT_OFFSET = 48,
	HDR_REFCOUNT_CLUSTERS = 56,
	HDR_N_SNAPSHOTS = 60,
	HDR_SNAPSHOTS_OFFSET = 64,
	HDR_INCOMPATIBLE = 72,
	HDR_COMPATIBLE = 80,
	HDR_AUTOCLEAR = 88,
	HDR_REFCOUNT_ORDER = 96,
	HDR_LENGTH = 100,
	HDR_COMPRESSION = 104,

	HDR_LEN_V2 = 72,
	HDR_LEN_V3_MIN = 104,
	HDR_LEN_V3 = 112,	/* with compression_type and its padding; what we write */
};

#define INCOMPAT_DIRTY (UINT64_C(1) << 0)
#define INCOMPAT_CORRUPT (UINT64_C(1) << 1)
#define INCOMPAT_DATA_FILE (UINT64_C(1) << 2)
#define INCOMPAT_COMPRESSION (UINT64_C(1) << 3)
#define INCOMPAT_EXTENDED_L2 (UINT64_C(1) << 4)
#define INCOMPAT_KNOWN (INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_DATA_FILE | \
			INCOMPAT_COMPRESSION | INCOMPAT_EXTENDED_L2)
#define AUTOCLEAR_BITMAPS (UINT64_C(1) << 0)
#define AUTOCLEAR_RAW_DATA_FILE (UINT64_C(1) << 1)

/* "Header extensions": types. */
#define EXT_END 0x00000000u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_BITMAPS 0x23852875u
#define EXT_LUKS 0x0537be77u
#define EXT_DATA_FILE 0x44415441u
#define EXT_HEAD_LEN 8
#define EXT_LUKS_LEN 16
#define EXT_BITMAPS_LEN 24

/* Where an entry of L1, L2 and bitmap tables points to. */
#define ENTRY_OFFSET UINT64_C(0x00fffffffffffe00)
#define ENTRY_COMPRESSED (UINT64_C(1) << 62)
/* "L1 table entry", "Standard cluster descriptor": the cluster has a refcount of exactly one. */
#define ENTRY_COPIED (UINT64_C(1) << 63)
/* "Extended L2 entries": bits 0–31 say which of the 32 subclusters are allocated. */
#define SUBCLUSTERS_ALLOCATED UINT64_C(0x00000000ffffffff)

#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21		/* QEMU's limit */
#define CLUSTER_BITS_MIN_EXTENDED 14
#define REFCOUNT_ORDER_MAX 6
#define BACKING_NAME_MAX 1023
#define L1_BYTES_MAX (32u * 1024 * 1024)		/* QCOW_MAX_L1_SIZE */
#define REFTABLE_BYTES_MAX (8u * 1024 * 1024)		/* QCOW_MAX_REFTABLE_SIZE */
#define SNAPSHOTS_MAX 65536u				/* QCOW_MAX_SNAPSHOTS */
#define SNAPSHOT_ENTRY_MIN 40				/* "Snapshots": the fixed part */
#define SNAPSHOT_EXTRA_MAX 1024u			/* QCOW_MAX_SNAPSHOT_EXTRA_DATA */
#define SNAPSHOT_TABLE_MAX (65536u * 1024)		/* QCOW_MAX_SNAPSHOTS_SIZE */
#define BITMAPS_MAX 65535u				/* QCOW2_MAX_BITMAPS */
#define BITMAP_DIRECTORY_MAX (65535u * 1024)		/* QCOW2_MAX_BITMAP_DIRECTORY_SIZE */
#define BITMAP_TABLE_MAX 0x8000000u			/* BME_MAX_TABLE_SIZE, entries */
#define BITMAP_BYTES_MAX 0x20000000u			/* BME_MAX_PHYS_SIZE */
#define BITMAP_NAME_MAX 1023u				/* BME_MAX_NAME_SIZE */
#define BITMAP_ENTRY_MIN 24				/* "Bitmap directory": the fixed part */

/* A LUKS1 phdr is the least; the most is far above what any tool writes. */
#define LUKS_REGION_MIN 592u
#define LUKS_REGION_MAX (64u * 1024 * 1024)

#endif
