/*
 * The unsealed state between commands: one half of the root key in the kernel keyring of this user, the other in a file
 * in memory (/run/kvmcrypt, or $XDG_RUNTIME_DIR/kvmcrypt). Each is random by itself.
 */
#ifndef KEYSTORE_CACHE_H
#define KEYSTORE_CACHE_H

#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stdint.h>
#include <uuid/uuid.h>

/* -ENOKEY (ERROR_SEALED) when there is none, or what is there is not this key. */
int cache_get(const uuid_t root_id, struct secret **ret, struct error *e);
/* For timeout seconds; 0: until it is removed or the machine restarts. Replaces an older one. */
int cache_put(const uuid_t root_id, const struct secret *root, uint64_t timeout, struct error *e);
int cache_remove(const uuid_t root_id, bool *ret_was, struct error *e);

/*
 * Is it there without a time limit? False when that cannot be told. *ret_left (or NULL): else the seconds that are
 * left, as coarse as the kernel says it (days, hours, minutes); 0 when that cannot be told.
 */
bool cache_is_permanent(const uuid_t root_id, uint64_t *ret_left);

#endif
