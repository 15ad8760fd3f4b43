/* What device-mapper of this host has of a raw volume. */
#ifndef LIB_VOLUME_MAPPED_H
#define LIB_VOLUME_MAPPED_H

#include "lib/image/mapping/mapping.h"
#include "lib/volume/volume.h"

/* What a volume's mapping is like, for show: name "" if it has none. */
struct volume_mapping {
	char name[MAPPING_NAME_LEN];
	dev_t device;
	struct mapping_status status;
	unsigned open_count;
	bool deferred;
	char users[512];	/* "mounted on /mnt, open in process 12 (dd)" */
};
int volume_mapping(const struct record *r, struct volume_mapping *ret, struct error *e);
/* From a list that was read before, without users: for many volumes. */
void volume_mapping_in(const struct mapping_list *maps, const struct record *r, struct volume_mapping *ret);

/*
 * QEMU itself opens LUKS1 with its header before the data only; another volume is decrypted by the kernel, and its
 * guests get the block device. That mapping is called after the volume's UUID, so that a configuration that names
 * it is right after every reboot.
 */
bool volume_is_mapped_for_guests(const struct record *r);
void volume_guest_mapping(const struct record *r, char *buf, size_t len);

/* ERROR_BUSY while the volume is mapped: what would change its keys or its data asks first. */
int volume_check_unmapped(const struct record *r, struct error *e);

/*
 * Removes what an interrupted open, close or create left in device-mapper for this volume: a
 * mapping without a table, an integrity layer with nothing above it. Under the volume's lock.
 * *ret_removed: something was.
 */
int volume_clear_debris(const uuid_t luks_uuid, bool *ret_removed, struct error *e);

/* volume_clear_debris() for every volume of the keystore that nobody is working on; fn gets each that had some. */
int volume_clear_all_debris(const struct volume_env *env, int (*fn)(void *ctx, const struct record *r), void *ctx,
			    struct error *e);

#endif
