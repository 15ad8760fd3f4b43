/* Is the volume where another host's guests would look for it? */
#ifndef LIB_SERVE_FAR_H
#define LIB_SERVE_FAR_H

#include "lib/volume/layers.h"

/*
 * The host of the daemon has, at their paths, the volumes of the chain: by LUKS UUID, digest and all that the records
 * know. ERROR_NOT_FOUND: no file; ERROR_DAMAGED: another image.
 */
int far_check(struct guest_connection *g, const struct layers *layers, struct error *e);

#endif
