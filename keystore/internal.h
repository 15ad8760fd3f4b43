/* Shared by the files behind keystore.h only. */
#ifndef KEYSTORE_INTERNAL_H
#define KEYSTORE_INTERNAL_H

#include "keystore/audit.h"
#include "keystore/keystore.h"
#include "keystore/seal/seal.h"
#include "keystore/store/store.h"

struct keystore {
	char *path;	/* canonical */
	char *given;	/* absolute, with the links in it; or NULL */
	bool pinned;
	int dir;
	struct store *store;
	uuid_t root_id;
	struct secret *root;		/* NULL while sealed */
	struct secret *audit_key;	/* with root */
	bool tolerant;			/* what does not fit is told by a check, and stops nothing before it */
	void (*tell)(void *ctx, bool sealed, const char *line);	/* or NULL */
	void *tell_ctx;
};

/* What a restore replaces is kept in the directory under a name that begins so. */
#define BEFORE_RESTORE "before-restore-"
/* A backup is made in it first, as ".backup.RANDOM". */
#define BACKUP_COPY "backup"

#define META_ROOT_ID "root_key_id"
#define KEYSTORE_OF_ROOT "/var/lib/kvmcrypt"	/* where root's is if nobody says otherwise */

/* ERROR_SEALED, with the next step, unless unsealed. */
int keystore_need_root(const struct keystore *ks, struct error *e);
/* Takes the root key over when it is the one of this store. */
int keystore_take_root(struct keystore *ks, struct secret **root, struct error *e);
void keystore_drop_root(struct keystore *ks);

/* Runs body in a write transaction. An error: nothing of it was stored, but see store_commit(). */
typedef int (*transaction_fn)(struct keystore *ks, void *ctx, struct error *e);
int keystore_transact(struct keystore *ks, transaction_fn body, void *ctx, struct error *e);
/* In a write transaction: the store of an older kvmcrypt becomes one of this; ERROR_DAMAGED if it is not whole. */
int keystore_upgrade(struct keystore *ks, struct error *e);
/* For a repair, which does that its own way. */
int keystore_transact_as_is(struct keystore *ks, transaction_fn body, void *ctx, struct error *e);

/* ERROR_BUSY/ESTALE when another process has given the keystore a new root key since it was opened. */
int keystore_same_root(struct keystore *ks, struct error *e);

/*
 * The seal to read, first put in its place if a change of the root key was interrupted between the store
 * and the seal.
 */
int keystore_load_seal(struct keystore *ks, struct seal **ret, struct error *e);
/*
 * Does what the seal says (slots, tokens) fit what the audit head has of it? ERROR_DAMAGED. Unsealed, and of a seal
 * that is in force: of a snapshot without the lock only keystore_check_seal(), which looks again if it does not fit.
 */
int keystore_seal_fits(struct keystore *ks, const struct seal *seal, struct error *e);
int keystore_check_seal(struct keystore *ks, const struct seal *seal, struct error *e);
/*
 * Puts a finished working copy in the place of the seal, together with what store() does in one transaction; digest is
 * that of the new one. The caller holds the exclusive lock. An error: neither has happened, but for what the
 * message says.
 */
typedef int (*swap_fn)(struct keystore *ks, const unsigned char digest[HASH_LEN], void *ctx, struct error *e);
int keystore_swap_seal(struct keystore *ks, struct seal *seal, swap_fn store, void *ctx, struct error *e);
/* Finishes such a change that was interrupted, or sees that it has not happened. Under the exclusive lock. */
int keystore_finish_swap(struct keystore *ks, struct error *e);
/* With the lock taken for it, and only if there is something to finish; reads the root key's ID again. */
int keystore_settle_seal(struct keystore *ks, struct error *e);

/* The exclusive lock for a change of the seal; finishes one that was interrupted. Needs the root key. */
int keystore_lock_seal(struct keystore *ks, int *ret_lock, struct error *e);
/* Does the row beside an envelope say what the envelope says? ERROR_DAMAGED. */
int keystore_match_row(const struct store_record *row, const struct record *r, struct error *e);
/*
 * Is this the envelope that was stored last for the volume? Else an older, genuine record was put back (ERROR_DAMAGED).
 * In a transaction, unsealed.
 */
int keystore_check_fresh(struct keystore *ks, const struct record *r, struct error *e);
/* Has the volume no record? Else it was taken out of the store, or out of an index of it (ERROR_DAMAGED). */
int keystore_check_absent(struct keystore *ks, const uuid_t volume, struct error *e);

/* pinned.c: the root key's ID outside of the directory. The location as it was given, for the pin's sake. */
int keystore_names(struct keystore *ks, const char *location, struct error *e);
/* ERROR_REFUSED when another root key is pinned than this one; fills ks->pinned. */
int keystore_pin_allows(struct keystore *ks, const uuid_t id, struct error *e);
int keystore_check_pin(struct keystore *ks, struct error *e);
/*
 * Around the transaction that changes the root key, under the exclusive lock: before it either of the two is right,
 * where there is a pin (always: also where there is none); after it, whatever became of it, the one that the store has.
 */
int keystore_pin_begin(struct keystore *ks, const uuid_t next, bool always, struct error *e);
void keystore_pin_settle(struct keystore *ks);

/* directory.c: an existing keystore's directory; one to make a keystore in. */
int directory_open(const char *location, char **ret_path, int *ret_fd, struct error *e);
int directory_make(const char *location, char **ret_path, int *ret_fd, bool *ret_made,
		   struct error *e);

/* transfer.c: the records in a bundle's content, signature aside, revealed; fuzzed. */
int keystore_unpack(const struct secret *content, struct record ***ret, size_t *ret_n, struct error *e);

#endif
