/* Shared by the files of the SQLite store only. */
#ifndef KEYSTORE_STORE_SQLITE_H
#define KEYSTORE_STORE_SQLITE_H

#include "keystore/store/store.h"

#include <sqlite3.h>

#define SQLITE_QUERIES 8

enum sql {
	SQL_BEGIN_READ,
	SQL_SNAPSHOT,
	SQL_BEGIN_WRITE,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_FIND_UUID,
	SQL_FIND_PATH,
	SQL_FIND_LUKS,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_REMOVE,
	SQL_TOUCH,
	SQL_EACH,
	SQL_META_GET,
	SQL_META_PUT,
	SQL_AUDIT_APPEND,
	SQL_AUDIT_REMAC,
	SQL_COUNT,
};

struct sqlite_store {
	struct store store;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *stmts[SQL_COUNT];	/* prepared at first use */

	/* Questions to the audit trail, by their text: preparing costs more than answering. */
	struct sqlite_query {
		char *sql;
		sqlite3_stmt *st;
	} queries[SQLITE_QUERIES];
};

/* The statement, reset and ready to bind; NULL with *e filled. */
sqlite3_stmt *sqlite_stmt(struct sqlite_store *s, enum sql which, struct error *e);
/* For a failed call: the kind by the result code, "damaged" for what only damage explains. */
int sqlite_fail(struct sqlite_store *s, const char *doing, struct error *e);

static inline void sqlite_stmt_resetp(sqlite3_stmt **st)
{
	if (*st)
		sqlite3_reset(*st);
}
/* A cached statement of this scope: its locks and borrowed values end with it. */
#define AUTOSTMT CLEANUP(sqlite_stmt_resetp)

static inline void sqlite_stmt_finalizep(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define AUTOFINALIZE CLEANUP(sqlite_stmt_finalizep)

/* schema.c: makes, migrates and recognises the tables. */
int sqlite_schema_create(struct sqlite_store *s, struct error *e);
int sqlite_schema_open(struct sqlite_store *s, struct error *e);

/* Opens this database file as keystore.db is opened: hardened, its schema not looked at yet. */
int sqlite_open_file(const char *path, struct sqlite_store **ret, struct error *e);

/* volume.c */
int sqlite_find(struct store *s, enum store_key by, const void *key, store_record_fn fn, void *ctx,
		struct error *e);
int sqlite_put(struct store *s, const struct store_record *r, uint64_t expect, struct error *e);
int sqlite_remove(struct store *s, const uuid_t volume, uint64_t expect, struct error *e);
int sqlite_touch(struct store *s, const uuid_t volume, uint64_t expect, int64_t last_used,
		 struct error *e);
int sqlite_each(struct store *s, store_record_fn fn, void *ctx, struct error *e);

/* audit.c */
int sqlite_audit_append(struct store *s, const struct store_audit *a, struct error *e);
int sqlite_audit_remac(struct store *s, uint64_t seq, const unsigned char mac[HASH_LEN], struct error *e);
void sqlite_audit_close(struct sqlite_store *s);
int sqlite_audit_each(struct store *s, const struct store_audit_query *q, store_audit_fn fn,
		      void *ctx, struct error *e);

#endif
