/* Raw volumes as block devices of this host: /dev/mapper/NAME. */
#ifndef LIB_SERVE_OPEN_H
#define LIB_SERVE_OPEN_H

#include "lib/image/mapping/mapping.h"
#include "lib/volume/hold.h"

struct volume_open {
	const char *name;	/* NULL: by the volume's file name */
	unsigned flags;		/* enum mapping_flags that open may set: READONLY, DISCARD, NO_…_WORKQUEUE */
	bool persistent;	/* store the flags (not READONLY) in the LUKS2 header */
	bool dry_run;
};

struct volume_opened {
	char name[MAPPING_NAME_LEN];
	bool changed;		/* false: it was so already */
	bool deferred;		/* close: gone when its last user goes */
};

/*
 * Maps the volume. Already under this name: 0 and not changed; under another, or in use by QEMU:
 * ERROR_BUSY. A name that another device has: ERROR_EXISTS. Unsealed keystore. _held: the caller
 * has the volume.
 */
int volume_open(const struct volume_env *env, const struct record *r, const struct volume_open *p,
		struct volume_opened *ret, struct error *e);
int volume_open_held(const struct volume_env *env, struct volume_hold *h, const struct volume_open *p,
		     struct volume_opened *ret, struct error *e);

/*
 * Removes the mapping; a volume that has none is no error. ERROR_BUSY says who uses it, unless
 * deferred. Needs no key: the keystore may be sealed.
 */
int volume_close(const struct volume_env *env, const struct record *r, bool deferred, bool dry_run,
		 struct volume_opened *ret, struct error *e);
int volume_close_held(const struct volume_hold *h, bool deferred, bool dry_run, struct volume_opened *ret,
		      struct error *e);

#endif
