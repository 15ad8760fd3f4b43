/*
 * The directory of libvirt's QEMU driver, where each running guest has one of its own (domain-N-NAME) with the key that
 * the disk's passphrase in the guest's log is encrypted under. In memory it is gone with the power.
 */
#ifndef LIB_GUEST_DOMAINS_DIR_H
#define LIB_GUEST_DOMAINS_DIR_H

#include "base/error.h"

#include <stdbool.h>

#define DOMAINS_DIR_DEFAULT "/var/lib/libvirt/qemu"

/*
 * A ramfs over it with everything that is to stay bound back: all but domain-*. Guests that run go on, with their keys
 * in memory; on the disk keys are wiped, those of guests that are gone, too. note: what is not as it should be, a line
 * each: names that nobody knows (bound back), keys that were on the disk, a daemon that runs (nothing is done then).
 * Nothing to do: there is no such directory, or it is in memory.
 */
int domains_dir_enter(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct error *e);

/* Back to the disk, unless guests run that have their directories in it (note). */
int domains_dir_leave(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct error *e);

#endif
