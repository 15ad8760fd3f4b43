/* Shared by the files of the SQLite store only. */
#ifndef KEYSTORE_STORE_SQLITE_H
#define KEYSTORE_STORE_SQLITE_H

#include "keystore/store/store.h"

#include <sqlite3.h>

#define SQLITE_QUERIES 8
#define MARK_LEN 16
#define RESTORED_META "restored"

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
	SQL_AUDIT_END,
	SQL_TREE_GET,
	SQL_TREE_PUT,
	SQL_TREE_REMOVE,
	SQL_COUNT,
};

/* A row of the audit trail, which no other row is like. */
struct trail_end {
	int64_t seq;
	unsigned char mac[HASH_LEN];
};

struct store {
	sqlite3 *db;
	char *path;
	bool no_locks;			/* the last lock was refused with ENOLCK */
	sqlite3_stmt *stmts[SQL_COUNT];	/* prepared at first use */

	/* Questions to the audit trail, by their text: preparing costs more than answering. */
	struct sqlite_query {
		char *sql;
		sqlite3_stmt *st;
	} queries[SQLITE_QUERIES];

	/* A COMMIT that failed: the row that it would have ended with; then whether it was stored all the same. */
	struct trail_end last;
	unsigned char mark[MARK_LEN];	/* of a restore, which ends with a row that was there before; else zero */
	bool unsettled, stored;
};

/* The statement, reset and ready to bind; NULL with *e filled. */
sqlite3_stmt *sqlite_stmt(struct store *s, enum sql which, struct error *e);
/* For a failed call: the kind by the result code, "damaged" for what only damage explains. */
int sqlite_fail(struct store *s, const char *doing, struct error *e);

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

/* schema.c: makes and recognises the tables. */
int sqlite_schema_create(struct store *s, struct error *e);
int sqlite_schema_open(struct store *s, struct error *e);

/* Opens this database file as keystore.db is opened: hardened, its schema not looked at yet. */
int sqlite_open_file(const char *path, struct store **ret, struct error *e);

/* audit.c */
void sqlite_audit_close(struct store *s);
/* False: the row of this statement is none. Its texts live as long as the statement is at it. Fuzzed. */
bool sqlite_audit_row(sqlite3_stmt *st, struct store_audit *a);

/* commit.c: how a failed COMMIT ended; closes and opens the database. */
int sqlite_settle(struct store *s, struct error *e);
/* The newest row of the trail; seq 0: none. */
int sqlite_trail_end(struct store *s, struct trail_end *ret, struct error *e);
/* The journal into the database and both to the disk, all of it; waits for readers. */
int sqlite_flush(struct store *s, struct error *e);
/* sqlite.c */
int sqlite_run(struct store *s, const char *sql, const char *doing, struct error *e);
int sqlite_reconnect(struct store *s, struct error *e);

#endif
