/* The directory that libvirt's QEMU driver has for one guest, domain-N-NAME: its sockets, and its key. */
#ifndef LIB_GUEST_DOMAIN_DIR_H
#define LIB_GUEST_DOMAIN_DIR_H

#include "base/error.h"

#include <stdbool.h>

/* Does the guest of this directory of the driver's run? If that cannot be asked, it does. */
bool domain_dir_runs(const char *driver, const char *name);

/* Overwrites and removes the key of the guest below the directory `dir`, if there is one. */
int domain_dir_wipe(int dir, const char *name, struct error *e);

/*
 * Makes it below `to` as it is below `from`: directories, files with owner and mode, and for everything else a
 * link to it through `way`, a path of the directory `from` as seen from the new one.
 */
int domain_dir_copy(int from, int to, const char *name, const char *way, struct error *e);

#endif
