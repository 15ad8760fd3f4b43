/* Keyslots of a volume besides our own: a person's passphrase, a recovery key. */
#ifndef LIB_WORKFLOW_KEYSLOT_H
#define LIB_WORKFLOW_KEYSLOT_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

struct volume_keyslot_add {
	const struct secret *passphrase; /* a person's, with a slow KDF; or with .recovery a generated recovery key */
	bool recovery;
	const char *file;	/* new file (0600) for the recovery key, written before its keyslot is; or NULL */
	bool last;		/* may be the last keyslot that was free */
};

/*
 * Adds a keyslot. A person's passphrase is ERROR_BUSY while a guest runs with the volume, which would stand still for
 * it. ERROR_EXISTS when a keyslot opens with it already, or .file is there; but with a .file whose key opens a keyslot
 * 0 and *ret_existed: an earlier run came to its end. ERROR_REFUSED/ENOSPC when it would take the last free
 * keyslot, unless .last. Interrupted, file and keyslot are both there or neither.
 */
int volume_keyslot_add(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		       const struct volume_keyslot_add *p, int *ret_slot, bool *ret_existed, struct error *e);

/* Destroys a keyslot by number. Our own is ERROR_REFUSED; one not in use ERROR_NOT_FOUND. */
int volume_keyslot_remove(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int slot,
			  struct error *e);

#endif
