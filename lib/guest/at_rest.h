/* What of a guest's keys lies on this host's disks while or although it runs: by libvirt's own files. */
#ifndef LIB_GUEST_AT_REST_H
#define LIB_GUEST_AT_REST_H

#include "base/error.h"

/*
 * kind: "master-key" (the guest's directory is not in memory; with the guest's log it opens its disks), "managed-save",
 * "memory-snapshot" or "dump" (the guest's memory, keys included). way: what to do about it, a sentence. A non-zero
 * result stops and is returned.
 */
typedef int (*guest_at_rest_fn)(void *ctx, const char *domain, const char *kind, const char *path, const char *way);

/*
 * Of the domain with this name. directory: of libvirt's QEMU driver (DOMAINS_DIR_DEFAULT). No such directory: nothing.
 * ERROR_FAILED: it cannot be read, by somebody who is not root say.
 */
int guest_at_rest(const char *directory, const char *domain, guest_at_rest_fn fn, void *ctx, struct error *e);

#endif
