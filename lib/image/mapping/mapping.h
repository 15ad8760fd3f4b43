/*
 * Device-mapper: the dm-crypt mappings of LUKS volumes on this host. Read with libdevmapper, made
 * and removed with libcryptsetup, whose naming they keep: a mapping's dm UUID is
 * CRYPT-LUKS2-<LUKS UUID>-<name>, so cryptsetup and lsblk know ours and we know theirs.
 */
#ifndef LIB_IMAGE_MAPPING_MAPPING_H
#define LIB_IMAGE_MAPPING_MAPPING_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/progress.h"
#include "lib/image/luks/luks.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAPPING_NAME_LEN 128

struct mapping {
	char name[MAPPING_NAME_LEN];
	uuid_t luks_uuid;
	dev_t device;
	bool part;		/* dm-integrity's layer below a mapping, "NAME_dif", not one itself */
	bool live;		/* has a table and is not suspended; else an interrupted command left it */
	bool readonly, deferred;	/* deferred: goes away with its last user */
	unsigned open_count;
};

struct mapping_list {
	struct mapping *list;
	size_t n;
};

/* ERROR_FAILED/ENODEV "this kernel has no device-mapper" when it has none. */
int mapping_available(struct error *e);

/* All mappings of LUKS volumes: none without device-mapper, or for others than root. Failing to ask is an error. */
int mapping_list_read(struct mapping_list *ret, struct error *e);
void mapping_list_clear(struct mapping_list *l);
#define AUTOMAPPINGS CLEANUP(mapping_list_clear)

/* The mapping, or the layer below it, of the volume; NULL: none. Valid as long as the list. */
const struct mapping *mapping_find(const struct mapping_list *l, const uuid_t luks_uuid, bool part);

/* Is there any device-mapper device of this name? */
bool mapping_name_taken(const char *name);

enum mapping_flags {
	MAPPING_READONLY = 1,
	MAPPING_DISCARD = 2,		/* lets discards through: tells which blocks are unused */
	MAPPING_NO_READ_WORKQUEUE = 4,
	MAPPING_NO_WRITE_WORKQUEUE = 8,
	MAPPING_NO_JOURNAL = 16,	/* of dm-integrity: while its data area is first written */
	MAPPING_KEYRING = 32,		/* status only: the key came through the kernel keyring */
};

struct mapping_status {
	uint64_t size;		/* bytes */
	unsigned sector_size;
	unsigned flags;		/* enum mapping_flags */
};
int mapping_status(const struct mapping *m, struct mapping_status *ret, struct error *e);

/*
 * Maps the data of an open header as /dev/mapper/name. data_path is a file (a loop device is made
 * and goes away with the mapping) or a block device. The header is the checked copy in memory, so
 * nothing on disk can change between check and use. A LUKS2 key goes to the kernel by a keyring
 * that ends with this process. The name is not offered to udev's scanners: what a guest wrote is
 * nothing for this host to look into. ERROR_BUSY when the data is in use otherwise.
 */
int mapping_open(const struct luks *l, const char *data_path, const char *name, const struct secret *volume_key,
		 unsigned flags, struct error *e);

/*
 * Removes a mapping, the integrity layer below it and its loop device. deferred: as soon as its
 * last user has gone. The volume's header is not needed; it may be gone.
 */
int mapping_close(const char *name, bool deferred, struct error *e);

/* Removes one device as it is, if nobody has it open: what an interrupted command left. */
int mapping_remove(const char *name, struct error *e);
/* By the kernel itself, once nobody has it open; at once if nobody has. */
int mapping_remove_later(const char *name, struct error *e);

/*
 * Removes the mappings that libcryptsetup made for a moment on this file or device, when it was
 * killed at that: a temporary mapping while it formats integrity.
 */
int mapping_remove_temporary(const char *data_path, struct error *e);

/*
 * Gives a mapping the size that its data now has: the loop device below it first (growing), then
 * the table. size: bytes of the mapping. To shrink, this comes before the file is cut.
 */
int mapping_resize(const char *name, const struct secret *volume_key, uint64_t size, struct error *e);

/* Stores flags in the open LUKS2 header, for every later activation (not NO_JOURNAL, KEYRING). */
int mapping_store_flags(struct luks *l, unsigned flags, struct error *e);

/* Zeros in every sector of the mapping from a byte on, past the page cache: gives dm-integrity its first tags. */
int mapping_zero(const char *name, uint64_t from, const struct progress *progress, struct error *e);

#endif
