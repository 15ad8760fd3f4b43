/* What the ways to re-encrypt share. */
#ifndef LIB_WORKFLOW_REENCRYPT_INTERNAL_H
#define LIB_WORKFLOW_REENCRYPT_INTERNAL_H

#include "lib/volume/internal.h"
#include "lib/workflow/reencrypt/reencrypt.h"

/* Is the file a whole container with the record's next volume key, which the passphrase opens? */
int reencrypt_prove(const struct record *r, const char *path, struct error *e);

/*
 * The same; then r takes the new key over in memory: digest, geometry, volume_key.
 */
int reencrypt_adopt(struct record *r, const char *path, struct error *e);

/*
 * The header of the new image in memory: next volume key, and keyslots for the passphrase that is
 * and the one that will be, so that the one needs no other change of the header than to be removed.
 */
int reencrypt_header(const struct record *r, struct luks **ret, struct error *e);

/* As it was before: READY with the old keys, the intent is gone. */
int reencrypt_undone(const struct volume_env *env, struct record *r, struct error *e);

/*
 * The new image is in its place and adopted: the next passphrase is in force, the one before is to be
 * destroyed (RETIRING, see rotate.c). The intent stays if keep_intent.
 */
int reencrypt_commit(const struct volume_env *env, struct record *r, bool keep_intent, struct error *e);

/* ERROR_FAILED/ENOSPC when the file system has no room for what the image takes on it now. */
int reencrypt_check_space(const struct record *r, struct error *e);

/* Makes the copy: copy.c */
int reencrypt_copy(const struct volume_env *env, struct record *r, struct volume_reencrypted *ret, struct error *e);

/*
 * online.c: in place, by libcryptsetup; of a volume that is READY or was begun so. At the
 * end r is READY with the new volume key and the old passphrase.
 */
bool reencrypt_is_online(const struct record *r);
int reencrypt_online(const struct volume_env *env, struct record *r, struct volume_reencrypted *done, struct error *e);

/* Takes back one that had changed nothing yet; finishes any other, unless only_undo. */
int reencrypt_online_settle(const struct volume_env *env, struct record *r, bool only_undo, bool *ret_finished,
			    struct error *e);

/*
 * live.c: the copy by the QEMU of a running guest, to its end; r is committed after it and
 * keeps the intent as the name of a link.
 */
int reencrypt_live(const struct volume_env *env, virDomainPtr d, const char *target, struct record *r,
		   struct error *e);

/*
 * What libvirt says of an interrupted one: 1 when the guest had gone over to the copy, which is
 * finished then; 0 when the copy is not in use, and can go.
 */
int reencrypt_live_settle(const struct volume_env *env, struct guest_connection *g, struct record *r,
			  bool *ret_finished, struct error *e);

/* Removes the link that a finished one left, once no running guest is known by it. r is revealed. */
int reencrypt_drop_link(const struct volume_env *env, struct guest_connection *g, struct record *r,
			struct error *e);

#endif
