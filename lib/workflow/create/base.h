/* May an image be the base of a new overlay? */
#ifndef LIB_WORKFLOW_CREATE_BASE_H
#define LIB_WORKFLOW_CREATE_BASE_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

/*
 * ERROR_REFUSED when the image can change under the overlay: somebody has it open to write to it, or a domain, also one
 * that is off, has it as a disk of its own. A golden volume and a file that nobody may write to cannot. g NULL: libvirt
 * is not to be asked; ERROR_LIBVIRT when the record knows that a domain has it. backing: canonical.
 */
int create_base_check(const struct volume_env *env, struct guest_connection *g, const char *backing, struct error *e);

#endif
