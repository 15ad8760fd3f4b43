/* Growing and shrinking a volume: at rest, and under a running guest. */
#ifndef LIB_WORKFLOW_RESIZE_H
#define LIB_WORKFLOW_RESIZE_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

struct volume_resize {
	uint64_t size;		/* bytes the guest is to see; a multiple of 512 */
	bool more;		/* so many more than it has */
	bool shrink;		/* allowed to lose what lies beyond */
	bool dry_run;
};

struct volume_resized {
	uint64_t old_size, size;
	bool changed;
	char domain[256];	/* the running guest that was told, "" if none */
};

/*
 * Makes the volume exactly p->size bytes for the guest, whatever its header takes. g may be NULL:
 * then a volume that a guest has open is ERROR_BUSY. Smaller without shrink: ERROR_REFUSED.
 * Interrupted, volume_recover() takes over the size that the image has.
 */
int volume_resize(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		  const struct volume_resize *p, struct volume_resized *ret, struct error *e);

#endif
