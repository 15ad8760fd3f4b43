/*
 * The keystore: sealed records of volumes, the seal that holds the root key, the audit trail.
 * Knows nothing of images or guests. Bytes on disk: FORMAT.md.
 */
#ifndef KEYSTORE_KEYSTORE_H
#define KEYSTORE_KEYSTORE_H

#include "base/error.h"
#include "base/progress.h"
#include "base/secret.h"
#include "keystore/record/record.h"
#include "keystore/seal/slot.h"

#include <stdbool.h>
#include <stdint.h>

struct keystore;

/*
 * --keystore, else $KVMCRYPT_KEYSTORE, else /var/lib/kvmcrypt for root and
 * $XDG_DATA_HOME/kvmcrypt (~/.local/share/kvmcrypt) for others. Caller frees.
 */
int keystore_location(const char *option, char **ret, struct error *e);

/*
 * Makes the directory (0700) with seal and store and opens it unsealed. At least one credential.
 * ERROR_EXISTS when there is one; an interrupted call leaves nothing that looks like a keystore.
 */
int keystore_create(const char *location, const struct credential *creds, size_t n_creds,
		    struct keystore **ret, struct error *e);

/*
 * Opens an existing one, still sealed. ERROR_NOT_FOUND: the message names `kvmcrypt init`. ERROR_REFUSED: another root
 * key is pinned for its path.
 */
int keystore_open(const char *location, struct keystore **ret, struct error *e);
/* With this root key's ID (as text), whatever is pinned; else ERROR_REFUSED. NULL: with any. */
int keystore_open_expecting(const char *location, const char *root_id, struct keystore **ret, struct error *e);
/*
 * Pins the root key of this keystore to its path, in the place of another. Unsealed, by who has proven that it is his:
 * with a secret, or by its ID.
 */
int keystore_pin(struct keystore *ks, struct error *e);
bool keystore_is_pinned(const struct keystore *ks);
void keystore_free(struct keystore *ks);	/* wipes the root key of this process */
static inline void keystore_freep(struct keystore **ks)
{
	keystore_free(*ks);
}
#define AUTOKEYSTORE CLEANUP(keystore_freep)

const char *keystore_path(const struct keystore *ks);

/* A second handle on the same keystore, unsealed if ks is: a handle serves one thread at a time. */
int keystore_dup(const struct keystore *ks, struct keystore **ret, struct error *e);

/* ---- unsealing: the root key into this process ---- */

/*
 * Without a person: from the kernel keyring, the systemd credential KEYSTORE_CREDENTIAL, a key file, a
 * TPM, Tang servers or a PKCS#11 token that needs no PIN, in this order and each with a time limit.
 * ERROR_SEALED if none works. Each way that failed, and why, is a line to the function of keystore_tell();
 * if it was the only one and the keystore stays sealed, it is part of the error instead.
 */
#define KEYSTORE_CREDENTIAL "kvmcrypt.key"
int keystore_unseal_auto(struct keystore *ks, struct error *e);
/* sealed: none of the ways worked, so the line is part of a failure. */
void keystore_tell(struct keystore *ks, void (*fn)(void *ctx, bool sealed, const char *line), void *ctx);
/*
 * With what a person typed or a file held. A text that reads as a recovery key is tried as such
 * first. Wrong: ERROR_BAD_KEY.
 */
int keystore_unseal(struct keystore *ks, const struct secret *key, struct error *e);
/* As keystore_unseal(), but with slots of c->type alone: the content of a --key-file, say. */
int keystore_unseal_with(struct keystore *ks, const struct credential *c, struct error *e);
/* With one slot alone; key is its passphrase or PIN, NULL for one that works alone. */
int keystore_unseal_slot(struct keystore *ks, int slot, const struct secret *key, struct error *e);
/*
 * A seal that was changed past kvmcrypt stops every unsealing with ERROR_DAMAGED. Not so from here on: for who is about
 * to check and repair.
 */
void keystore_tolerate(struct keystore *ks);
bool keystore_is_unsealed(const struct keystore *ks);

/* The root key into the kernel keyring of this user for timeout seconds (0: until reboot or seal). */
int keystore_cache(struct keystore *ks, uint64_t timeout, struct error *e);
/* Out of it; *ret_was says whether it was there. */
int keystore_uncache(struct keystore *ks, bool *ret_was, struct error *e);
/* Is a usable root key of this keystore in the kernel keyring? */
int keystore_is_cached(struct keystore *ks, bool *ret, struct error *e);

/* ---- slots; adding and removing need an unsealed keystore ---- */
/* The caller frees with slots_free(). */
int keystore_slots(struct keystore *ks, struct slot **ret, size_t *ret_n, struct error *e);
int keystore_add_slot(struct keystore *ks, const struct credential *c, int *ret_slot, struct error *e);
/* The last slot is ERROR_REFUSED, an absent one ERROR_NOT_FOUND. */
int keystore_remove_slot(struct keystore *ks, int slot, struct error *e);
/*
 * Makes the slot of a device or server anew, for what the device is like now (a TPM's PCRs after a
 * firmware update), proves it, then removes the old one, in one change of the seal. pin: of a slot that has one.
 * *ret_slot: its new number.
 */
int keystore_renew_slot(struct keystore *ks, int slot, const struct secret *pin, int *ret_slot, struct error *e);

/*
 * A new root key: every record is sealed anew, the audit trail chained anew, and a new seal made with these
 * credentials and all old slots that work without a person (of types that are not among the credentials). Old
 * slots of other types, or more of a type than were given, would be lost: ERROR_REFUSED that names them, unless
 * drop_others. Interrupted at any point it has happened as a whole or not at all; the old seal is overwritten, the
 * old root key taken out of the keyring.
 */
int keystore_rekey(struct keystore *ks, const struct credential *creds, size_t n, bool drop_others,
		   const char *carried, const struct progress *progress, struct error *e);
/*
 * The old slots that such a call carries over, in words that name whatever each trusts, for a person to confirm; "" if
 * there are none. Refuses what that refuses. Given back as carried: ERROR_BUSY if it is not so any more. The caller
 * frees.
 */
int keystore_rekey_carries(struct keystore *ks, const struct credential *creds, size_t n, bool drop_others, char **ret,
			   struct error *e);

/*
 * A consistent copy of the whole keystore, seal included, as one new file of mode 0600, also while others use it
 * and while it is sealed. Who has it and a way to unseal has every key. ERROR_EXISTS when the file is there.
 */
int keystore_backup(struct keystore *ks, const char *file, struct error *e);

/*
 * Finishes or takes back what an interrupted change of the seal left, and removes what an interrupted restore began;
 * waits up to a minute for one that runs. `kvmcrypt recover` of the keystore itself.
 */
int keystore_settle(struct keystore *ks, struct error *e);

struct keystore_restored {
	uint64_t volumes;		/* in the backup */
	uint64_t newer;			/* records of the keystore there that the backup has older or not at all */
	char example[512];		/* the path of one of them */
	bool other_root;		/* the keystore there has another root key */
	bool replaced;			/* there was a keystore */
	char kept[4096];		/* where a backup of the replaced one was put; "" if none */
};
/*
 * Puts a backup in the place of the keystore at location, or makes one there. Where records would be lost
 * (newer, or of another root key) ERROR_REFUSED unless overwrite; what is replaced is backed up first. *ret is
 * filled on refusal too. dry_run: only looks. A backup of another root key than the one that is pinned, or than
 * expect_root (its ID, or NULL) says: ERROR_REFUSED; what expect_root says is pinned then.
 */
int keystore_restore(const char *location, const char *file, bool overwrite, bool dry_run, const char *expect_root,
		     struct keystore_restored *ret, struct error *e);

/* A recovery key: 256 bits as base32 in 13 groups of 4, joined by dashes. */
int keystore_generate_recovery(struct secret **ret, struct error *e);

struct keystore_status {
	bool cached;		/* a command can unseal by itself from the keyring, */
	uint64_t cached_for;	/* for about so many seconds; 0: no limit, or it cannot be told */
	char root_key_id[40];	/* text UUID */
	uint64_t volumes;
	uint32_t schema_version;
	uint64_t audit_seq;	/* last row of the audit trail */
	char audit_head[65];	/* its MAC in hex: note it elsewhere to detect a rolled-back store */
};
int keystore_status(struct keystore *ks, struct keystore_status *ret, struct error *e);

/* ---- records ---- */

/*
 * Reading. Plain fields come back without unsealing; on an unsealed keystore the record is also
 * verified (ERROR_DAMAGED). None: ERROR_NOT_FOUND. Caller frees the record.
 */
int keystore_get(struct keystore *ks, const uuid_t volume, struct record **ret, struct error *e);
int keystore_find_path(struct keystore *ks, const char *path, struct record **ret, struct error *e);
int keystore_find_luks(struct keystore *ks, const uuid_t luks, struct record **ret, struct error *e);

/*
 * Writes the use into the audit trail (one transaction for all n), then unseals the sealed fields
 * of the records. purpose is a stable word ("attach", "show-passphrase"); detail is for a person
 * or NULL and holds no secret.
 */
int keystore_reveal(struct keystore *ks, struct record *const *records, size_t n,
		    const char *purpose, const char *detail, struct error *e);

/* Without a row: for looking, where no key leaves the process. last_used stays. */
int keystore_peek(struct keystore *ks, struct record *r, struct error *e);

/*
 * Stores records that are new (revision 0) or revealed, and removes others with their sealed keys, each with an audit
 * row, all in one transaction: all of them or none. When another process has changed one since it was read:
 * ERROR_BUSY/ESTALE. A new record whose path is taken: ERROR_EXISTS; a path that another change of the same call
 * gives up by its removal is free. On success each r->revision is the new one.
 * ERROR_FAILED may have been stored: read the record again before anything that hangs on it is destroyed.
 */
struct keystore_change {
	struct record *record;
	bool remove;
};
int keystore_apply(struct keystore *ks, const struct keystore_change *changes, size_t n, const char *action,
		   const char *detail, struct error *e);
/* One of them alone. */
int keystore_put(struct keystore *ks, struct record *r, const char *action, const char *detail, struct error *e);
int keystore_remove(struct keystore *ks, struct record *r, const char *action, const char *detail, struct error *e);

/*
 * Every record in order of path, in constant memory; the record belongs to the callee only for
 * the call. A non-zero result of fn stops and is returned. No verification of the sealed parts.
 */
int keystore_each(struct keystore *ks, int (*fn)(void *ctx, const struct record *r), void *ctx,
		  struct error *e);

/* ---- records to and from another keystore ---- */

/*
 * A bundle of these records, of volumes that are READY, for one of: a passphrase, or the certificate (PEM) of the other
 * keystore. Domains are left out. One use of each key in the audit trail. sign: so that the other side can tell who
 * made it. *ret: a CMS message, the caller frees.
 */
int keystore_export(struct keystore *ks, struct record *const *records, size_t n, const struct secret *passphrase,
		    const char *certificate, bool sign, unsigned char **ret, size_t *ret_len, struct error *e);
/* The certificates of this keystore in PEM, named after a host. They change with the root key. The caller frees. */
int keystore_certificate(struct keystore *ks, const char *name, char **ret, struct error *e);

/*
 * The records of a bundle, revealed; passphrase NULL: it is for this keystore's certificate. from: the certificate of
 * who must have signed it, or NULL; see bundle_check_sender(). What they say is checked by nobody yet: see
 * volume_arrive().
 */
int keystore_open_bundle(struct keystore *ks, const void *data, size_t len, const struct secret *passphrase,
			 const char *from, struct record ***ret, size_t *ret_n, struct error *e);
void keystore_records_free(struct record **records, size_t n);
/* Stores one of them. *ret_changed false: it is there already. ERROR_EXISTS: there with other keys. */
int keystore_take_in(struct keystore *ks, struct record *r, bool *ret_changed, struct error *e);

/* ---- audit trail ---- */
struct audit_row {
	uint64_t seq;
	int64_t when;		/* seconds since 1970 */
	uid_t uid;		/* who */
	pid_t pid;
	const char *action;	/* "create", "use", "slot-add" … */
	const char *volume;	/* text UUID or NULL */
	const char *detail;	/* or NULL */
};
int keystore_audit(struct keystore *ks, const char *action, const uuid_t volume, const char *detail,
		   struct error *e);
/*
 * Rows from seq `first` on, at most `last_n` newest (0: all), in order. fn may read the keystore,
 * not write it. A non-zero result of fn stops and is returned. Not verified: see keystore_check().
 */
int keystore_audit_each(struct keystore *ks, uint64_t first, uint64_t last_n,
			int (*fn)(void *ctx, const struct audit_row *row), void *ctx, struct error *e);

/* As keystore_audit_each(), rows of one volume only. */
int keystore_audit_each_of(struct keystore *ks, const uuid_t volume, uint64_t last_n,
			   int (*fn)(void *ctx, const struct audit_row *row), void *ctx,
			   struct error *e);

/*
 * Verifies every record, every audit row, the chain and that both agree. Each finding is one line
 * to fn. ERROR_DAMAGED if there was any. Needs an unsealed keystore. expect_head: "SEQ:HEX" noted
 * earlier, or NULL.
 */
int keystore_check(struct keystore *ks, const char *expect_head,
		   void (*fn)(void *ctx, const char *finding), void *ctx, uint64_t *ret_records,
		   uint64_t *ret_rows, struct error *e);

/*
 * Accepts the keystore as it is: chains the audit trail anew over the rows that are there, vouches
 * for the records that open and for the seal, and adds a row that says what did not verify and what
 * is lost. Whatever was changed or put back before stays so. Records that do not open stay damaged.
 * *ret_detail (or NULL): that row's text, the caller frees.
 */
int keystore_repair(struct keystore *ks, char **ret_detail, struct error *e);

#endif
