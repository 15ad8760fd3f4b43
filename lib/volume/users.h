/* Who has a volume: domains that run with it, or have it in a configuration, a saved state or a snapshot. */
#ifndef LIB_VOLUME_USERS_H
#define LIB_VOLUME_USERS_H

#include "lib/guest/users.h"
#include "lib/volume/volume.h"

/*
 * The volume as domains may name it: its image by identity, the mapping that its guests get or that somebody has
 * opened, its secret. As it is now: what is to hold for long is asked under the volume's lock. g: borrowed.
 */
int volume_image(struct guest_connection *g, const struct record *r, struct guest_image *ret, struct error *e);

/* ERROR_REFUSED, naming who, while anybody has the volume as a disk or below one. */
int volume_check_unused(struct guest_connection *g, const struct record *r, struct error *e);

/*
 * ERROR_REFUSED, naming who, when a domain opens the image at path with another secret than that of this volume (NULL:
 * it is none yet), which then would open nothing any more. g NULL: nobody to ask.
 */
int volume_check_secrets(struct guest_connection *g, const char *path, const unsigned char *volume, struct error *e);

/* ERROR_REFUSED while another volume has this one below it, and would be lost with its key; verb: "erase". */
int volume_check_no_overlay(struct keystore *ks, const struct record *r, const char *verb, struct error *e);

/* ERROR_LIBVIRT when a domain has the volume and there is no g to be asked; without: "reached to …". */
int volume_check_libvirt(struct guest_connection *g, const struct record *r, const char *without, struct error *e);

/*
 * A running domain that has the volume as a disk, as QEMU opens it or as the kernel does, with the name of that disk;
 * *ret NULL: none. g NULL: nobody to ask.
 */
int volume_find_guest(struct guest_connection *g, const struct record *r, virDomainPtr *ret, char *target,
		      size_t len, struct error *e);

#endif
