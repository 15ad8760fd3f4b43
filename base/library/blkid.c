/* libblkid: what this program calls of it. */
#include "base/library/define.h"

#include <blkid/blkid.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, blkid_do_probe, 1, blkid_probe) \
	F(int, blkid_do_safeprobe, 1, blkid_probe) \
	F(int, blkid_do_wipe, 2, blkid_probe, int) \
	FREE(blkid_free_probe, blkid_probe) \
	Z(blkid_probe, blkid_new_probe, 0) \
	F(int, blkid_probe_enable_partitions, 2, blkid_probe, int) \
	F(int, blkid_probe_enable_superblocks, 2, blkid_probe, int) \
	F(int, blkid_probe_lookup_value, 4, blkid_probe, const char *, const char **, size_t *) \
	F(int, blkid_probe_set_device, 4, blkid_probe, int, blkid_loff_t, blkid_loff_t) \
	F(int, blkid_probe_set_partitions_flags, 2, blkid_probe, int) \
	F(int, blkid_probe_set_superblocks_flags, 2, blkid_probe, int)

LIBRARY(blkid_load, "libblkid", "libblkid1", ERROR_FAILED, FUNCTIONS, NULL, "libblkid.so.1")
LIBRARY_NOTE("blkid", "What else is on a device", "required", "\"libblkid.so.1\"")
