/* Volumes that this host looks into through qemu-storage-daemon. */
#ifndef LIB_SERVE_EXPORT_H
#define LIB_SERVE_EXPORT_H

#include "lib/image/export.h"
#include "lib/volume/volume.h"

struct volume_export {
	enum export_type type;
	const char *target;	/* FUSE: a file (made if absent); NBD: the socket */
	bool writable;
	bool dry_run;
};

/*
 * Serves the volume with its backing chain. Already so with the same parameters: 0 and *ret_changed
 * false; exported otherwise: ERROR_BUSY.
 */
int volume_export(const struct volume_env *env, const struct record *r, const struct volume_export *p,
		  bool *ret_changed, struct error *e);

/* Ends the export; none is no error (*ret_changed false). Works while the keystore is sealed. */
int volume_unexport(const struct volume_env *env, const struct record *r, bool dry_run, bool *ret_changed,
		    struct error *e);

/* How the volume is exported now: *ret_target NULL if it is not. The caller frees it. */
int volume_exported(struct keystore *ks, const struct record *r, enum export_type *ret_type, char **ret_target,
		    bool *ret_writable, struct error *e);

#endif
