/*
 * Where sealed records lie: an SQLite database in WAL mode. The store knows rows, not keys: everything it is given is
 * sealed or authenticated already, so it need not be trusted, only durable.
 *
 * A transaction is a snapshot: what it reads does not change under it. One that writes excludes other writers, and
 * appends to the audit trail, by which it is recognised. Reading outside a transaction sees the newest state.
 */
#ifndef KEYSTORE_STORE_STORE_H
#define KEYSTORE_STORE_STORE_H

#include "base/cleanup.h"
#include "base/error.h"
#include "keystore/record/kdf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uuid/uuid.h>

#define STORE_SCHEMA_VERSION 2

struct store;

/* A record as stored: the envelope, and beside it what it is found by. */
struct store_record {
	uuid_t uuid;
	const char *path;
	uuid_t luks;		/* null: has none */
	uint64_t revision;
	int64_t last_used;
	const unsigned char *envelope;
	size_t envelope_len;
};

enum store_key { STORE_BY_UUID, STORE_BY_PATH, STORE_BY_LUKS };

enum audit_kind {
	AUDIT_EVENT = 1,	/* something worth knowing */
	AUDIT_USE = 2,		/* the key of a volume was taken out */
	AUDIT_PUT = 3,		/* a record was written: revision, hash of the envelope */
	AUDIT_REMOVE = 4,	/* a record was removed: its last revision */
	AUDIT_SEAL = 5,		/* the seal was changed: hash of the file */
};

struct store_audit {
	uint64_t seq;		/* 1, 2, 3 … without a gap */
	int64_t when;
	uid_t uid;
	pid_t pid;
	enum audit_kind kind;
	uuid_t volume;		/* null: none */
	uint64_t revision;	/* 0: none */
	unsigned char hash[HASH_LEN];	/* zero: none */
	unsigned char mac[HASH_LEN];
	const char *action;
	const char *detail;	/* or NULL */
};

struct store_audit_query {
	uint64_t first;		/* rows from this seq on */
	uint64_t newest;	/* only so many of the newest that match; 0: all */
	const unsigned char *volume;	/* of this volume only, or NULL */
	unsigned kinds;		/* bits 1 << kind; 0: all */
};

/* Pointers in what a callback gets are valid during the call only. */
typedef int (*store_record_fn)(void *ctx, const struct store_record *r, struct error *e);
typedef int (*store_audit_fn)(void *ctx, const struct store_audit *a, struct error *e);
typedef void (*store_finding_fn)(void *ctx, const char *finding);

/* Opens dir/keystore.db; with create, which must not find one, makes it (0600). */
int store_open(const char *dir, bool create, struct store **ret, struct error *e);
void store_close(struct store *s);	/* NULL is fine */
static inline void store_closep(struct store **s)
{
	store_close(*s);
	*s = NULL;
}
#define AUTOSTORE CLEANUP(store_closep)

/*
 * Removes what an interrupted creation left there. ERROR_REFUSED when it holds a record: then
 * only its seal is missing, and nothing of it may be lost.
 */
int store_discard(const char *dir, struct error *e);

int store_begin(struct store *s, bool write, struct error *e);
/*
 * An error means that nothing was stored, and that nothing will be: if COMMIT reports one, a fresh connection is asked
 * what is stored. Where that cannot be known either (the disk fails), store_is_unsettled(): it may have been stored,
 * and nothing that hangs on it may be destroyed. Each later store_begin() asks again, and fails until it has the
 * answer.
 */
int store_commit(struct store *s, struct error *e);
bool store_is_unsettled(const struct store *s);
void store_rollback(struct store *s);

/*
 * For who finds the traces of an interrupted change by another process: when this returns 0, what the store says is
 * on the disk, and a COMMIT that failed earlier is stored or will never be. It writes.
 */
int store_settle(struct store *s, struct error *e);

/*
 * Calls fn with each match, two at most: enough to see that a LUKS UUID is ambiguous. fn must
 * not use the store.
 */
int store_find(struct store *s, enum store_key by, const void *key, store_record_fn fn, void *ctx, struct error *e);
/*
 * expect 0 inserts; else replaces the row that has this revision, keeping last_used.
 * -ESTALE: it has another one or is gone; -EEXIST: the UUID or path is taken.
 */
int store_put(struct store *s, const struct store_record *r, uint64_t expect, struct error *e);
int store_remove(struct store *s, const uuid_t volume, uint64_t expect, struct error *e);
int store_touch(struct store *s, const uuid_t volume, uint64_t expect, int64_t last_used, struct error *e);
/* In order of path; fn may use the store, since no cursor is open while it runs. */
int store_each(struct store *s, store_record_fn fn, void *ctx, struct error *e);

/* *ret_len is the room on call and the length on return; -ENOENT without such a name. */
int store_meta_get(struct store *s, const char *name, void *buf, size_t *ret_len, struct error *e);
int store_meta_put(struct store *s, const char *name, const void *data, size_t len, struct error *e);

int store_audit_append(struct store *s, const struct store_audit *a, struct error *e);
/* Another MAC for a row that is there: only a repair does that. */
int store_audit_remac(struct store *s, uint64_t seq, const unsigned char mac[HASH_LEN], struct error *e);
/* In order of seq; fn may read the store, not write it. */
int store_audit_each(struct store *s, const struct store_audit_query *q, store_audit_fn fn, void *ctx, struct error *e);

/*
 * Nodes of the tree over the records. *ret_len is the room on call; 0 on return: there is none, or none that has room.
 * len 0 removes one.
 */
int store_tree_get(struct store *s, uint64_t place, void *buf, size_t *ret_len, struct error *e);
int store_tree_put(struct store *s, uint64_t place, const void *data, size_t len, struct error *e);
int store_tree_clear(struct store *s, struct error *e);

/* The tables of this version, in the write transaction that the caller holds; nothing to do where they are. */
int store_upgrade(struct store *s, struct error *e);
/* All indices made anew from their tables. */
int store_reindex(struct store *s, struct error *e);

/* Removed bytes out of the journal, as far as nobody else is reading it. */
void store_scrub(struct store *s);
/* What SQLite itself can tell of damage. */
int store_verify(struct store *s, store_finding_fn fn, void *ctx, struct error *e);

/*
 * A consistent copy of the store as a database of its own in the empty file at path, with the seal
 * beside its tables (meta "seal"). Neither is readable without a way to unseal.
 */
int store_backup(struct store *s, const char *path, const void *seal, size_t seal_len, struct error *e);
/* Opens such a file after checking all that SQLite can check. *ret_seal: a copy for the caller to free. */
int store_open_backup(const char *path, struct store **ret, void **ret_seal, size_t *ret_seal_len, struct error *e);
/*
 * The content of that file in the place of the store's, in one transaction. as: a backup of the store from before,
 * or NULL; ERROR_BUSY when the store has changed since that was made. Errors as of store_commit().
 */
int store_restore(struct store *s, const char *backup, const char *as, struct error *e);

#endif
