/* Keyslots of a volume besides our own: a person's passphrase, a recovery key. */
#ifndef LIB_WORKFLOW_KEYSLOT_H
#define LIB_WORKFLOW_KEYSLOT_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

/*
 * Adds a keyslot. recovery: a generated recovery key, which costs nothing to try; else a person's
 * passphrase, with a slow KDF, and then ERROR_BUSY while a guest runs with the volume, which would
 * stand still for it. ERROR_EXISTS when a keyslot opens with it already; ERROR_REFUSED/ENOSPC when it would take the
 * last free keyslot, unless last.
 */
int volume_keyslot_add(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		       const struct secret *passphrase, bool recovery, bool last, int *ret_slot,
		       struct error *e);

/* Which keyslot on the disk opens with it? *ret_slot -1: none. Asks the header, and is slow where keyslots are. */
int volume_keyslot_find(const struct record *r, const struct secret *passphrase, int *ret_slot, struct error *e);

/* Destroys a keyslot by number. Our own is ERROR_REFUSED; one not in use ERROR_NOT_FOUND. */
int volume_keyslot_remove(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int slot,
			  struct error *e);

#endif
