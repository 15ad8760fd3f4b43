/* A file on the host of another daemon, as far as libvirt's storage API shows it. */
#ifndef LIB_GUEST_FAR_H
#define LIB_GUEST_FAR_H

#include "lib/guest/connection.h"

#include <stdint.h>

/*
 * Its first bytes, at least `want` where it has so many, in a memfd as long as the file is (the rest of it a hole). The
 * caller closes. What no storage pool shows is looked for with one that is there only meanwhile. ERROR_NOT_FOUND: that
 * host has no such file.
 */
int guest_far_head(struct guest_connection *g, const char *path, uint64_t want, int *ret_fd, struct error *e);

#endif
