/* Another place for a volume's image, or taking note of one that it has already. */
#ifndef LIB_WORKFLOW_MOVE_MOVE_H
#define LIB_WORKFLOW_MOVE_MOVE_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

struct volume_move {
	const char *to;		/* a new file, or a directory that gets it under its own name; or where it is already */
	const char *header;	/* the same for a detached header; NULL: that stays where it is */
	bool live;		/* under a running guest, too: by a copy that the guest goes over to */
	bool without_libvirt;	/* go on where the record names domains and g is NULL; their configurations stay */
	bool dry_run;
};

struct volume_moved {
	bool changed;
	const char *how;	/* "rename", "copy", "noted", "live"; NULL: unchanged */
	char from[4096];	/* the record's path before */
	char domain[256];	/* the running guest that went over, or "" */
	size_t configurations;	/* disks in configurations of domains that name the new place now */
	size_t overlays;	/* volumes above it */
};

/*
 * ERROR_EXISTS: something else is at the new place. ERROR_REFUSED: two images of the volume, a place that cannot be
 * given up, or something of libvirt or of others that would go on naming the old one. ERROR_BUSY: in use. *ret_record:
 * as it is then (of a dry run: as it is now); the caller frees.
 */
int volume_move(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		const struct volume_move *p, struct volume_moved *ret, struct record **ret_record, struct error *e);

#endif
