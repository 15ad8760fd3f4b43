/* VOLUME as a person gives it, when it is no path and no UUID: see volume_find() for those. */
#ifndef LIB_VOLUME_FIND_H
#define LIB_VOLUME_FIND_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

/* Does it look like POOL/VOLUME, and is no file? */
bool volume_may_be_in_pool(const char *text);

/* The record of the image that libvirt has at POOL/VOLUME. */
int volume_find_in_pool(struct keystore *ks, struct guest_connection *g, const char *text, struct record **ret,
			struct error *e);

#endif
