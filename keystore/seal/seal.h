/*
 * The seal: a LUKS2 header in the regular file `seal`, whose volume key is the root key. Keyslots
 * are the ways to unseal; a token beside each says what kind of way it is.
 *
 * Reading works on a copy in memory, since libcryptsetup may repair (write) what it loads. A
 * change works on the copy `seal.new`, which replaces `seal` by rename once it is proven and
 * synced; the caller holds seal_lock(exclusive) around it, so no change is lost.
 */
#ifndef KEYSTORE_SEAL_SEAL_H
#define KEYSTORE_SEAL_SEAL_H

#include "keystore/record/kdf.h"
#include "keystore/seal/slot.h"

struct seal;

/* flock on the keystore's directory; close the descriptor to unlock. ERROR_BUSY after a minute. */
int seal_lock(int dir, bool exclusive, int *ret_fd, struct error *e);

/* A snapshot to read. Takes the shared lock for itself. ERROR_NOT_FOUND without a seal. */
int seal_load(int dir, struct seal **ret, struct error *e);
/* For who holds the lock. */
int seal_snapshot(int dir, struct seal **ret, struct error *e);
/* A working copy to change, of the seal there is or a new one for this root key. */
int seal_edit(int dir, struct seal **ret, struct error *e);
int seal_create(int dir, const struct secret *root, const uuid_t root_id, struct seal **ret,
		struct error *e);
/* Removes the working copy unless it was committed. */
void seal_free(struct seal *s);
static inline void seal_freep(struct seal **s)
{
	seal_free(*s);
}
#define AUTOSEAL CLEANUP(seal_freep)

int seal_root_id(const struct seal *s, uuid_t ret, struct error *e);
/* ERROR_DAMAGED when the seal holds another key. */
int seal_verify(const struct seal *s, const struct secret *root, struct error *e);
/*
 * What it says as one number: keyslots and tokens, in their order; not its bytes, and not the key material, without
 * which a keyslot only opens no more. The audit head has it, so that the root key vouches for it.
 */
int seal_digest(const struct seal *s, unsigned char ret[HASH_LEN], struct error *e);
/* That of the seal, or of the working copy, whichever is the file with this hash; else ERROR_DAMAGED. */
int seal_digest_by_hash(int dir, const unsigned char hash[HASH_LEN], unsigned char ret[HASH_LEN], struct error *e);
#define SEAL_UNFIT                                                                                       \
	"the seal is not the one that was stored last: an older one was put back, or another program changed it; " \
	"`kvmcrypt keystore check --repair` says what it has, and accepts it"
int seal_slots(const struct seal *s, struct slot **ret, size_t *ret_n, struct error *e);

/*
 * Tries the slots of c->type, of a key file only those that such a key can fit; with c->path set
 * only slots that name this path. ERROR_BAD_KEY/EKEYREJECTED when none fits.
 */
int seal_unlock(const struct seal *s, const struct credential *c, struct secret **ret_root,
		struct error *e);

/* With this slot alone; key is its passphrase, file content or PIN (NULL: a device without PIN). */
int seal_unlock_slot(const struct seal *s, const struct slot *slot, const struct secret *key,
		     struct secret **ret_root, struct error *e);

/* ---- changing a working copy ---- */

/* Adds a slot for a credential that is fit for one, and proves it by opening. */
int seal_add(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot,
	     struct error *e);
int seal_remove(struct seal *s, int slot, struct error *e);
/* A created one will take the place of another. */
void seal_supersede(struct seal *s);
/* Leaves the working copy where it is: the store names it already. */
void seal_keep(struct seal *s);
/* Syncs file and name; the digest is the one it will have. Nothing may be changed after it. */
int seal_finish(struct seal *s, unsigned char ret_digest[HASH_LEN], struct error *e);
/* Renames over `seal` (which must not exist for a created one) and wipes what was there. */
int seal_commit(struct seal *s, struct error *e);

/* ---- the file ---- */

/* The whole file in memory, for a backup; the caller frees it and holds the lock. */
int seal_read(int dir, void **ret, size_t *ret_len, struct error *e);
/* Such bytes as a snapshot to read. */
int seal_parse(const void *data, size_t len, struct seal **ret, struct error *e);
/* Its bytes as a working copy, to be put in the place of a seal (or of none: created). */
int seal_from_bytes(int dir, const void *data, size_t len, bool created, struct seal **ret, struct error *e);

/* Is there a working copy, of a change under way or interrupted? */
bool seal_is_pending(int dir);
/*
 * Finishes a change that the store knows of and that was not renamed: `seal.new` has the logged digest (of an
 * older kvmcrypt: the hash of the file; NULL: none) or the root key's ID, and `seal` has not. Under the exclusive lock.
 */
int seal_recover(int dir, const unsigned char *logged, const uuid_t root_id, struct error *e);
/*
 * A `seal.new` that no transaction goes with, after seal_recover() and under the exclusive lock: it is overwritten and
 * goes, as it may have a slot that was to be removed. Nothing is done unless the seal in force has this root key.
 */
int seal_drop_new(int dir, const uuid_t root_id, struct error *e);

/* Removes a `seal.new` where there is no seal and no store that could name it. */
void seal_drop_first(int dir);
/* Puts `seal.new` in place where there is no seal, if it is that of this root key; *ret_done says so. */
int seal_recover_first(int dir, const uuid_t root_id, bool *ret_done, struct error *e);

#endif
