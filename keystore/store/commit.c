/*
 * A COMMIT that reports an error may be stored all the same. SQLite writes the pages and the commit mark into the
 * journal, and then syncs it; if that fails, this connection takes the transaction back, but the pages are there: the
 * next process that opens the journal as the only one finds the mark and takes them for stored. While others have it
 * open they see the old state, and it is for whoever writes next to overwrite the pages.
 *
 * So the answer is what a fresh connection says, and it is made last: what is stored is brought into the database and
 * synced there, as the journal's own sync was the one that failed; and what is not stored is overwritten.
 */
#include "keystore/store/sqlite.h"

#include <string.h>

int sqlite_trail_end(struct store *s, struct trail_end *ret, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_AUDIT_END, e);
	if (!st)
		return -EIO;
	struct trail_end end = { 0 };
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		end.seq = sqlite3_column_int64(st, 0);
		if (sqlite3_column_bytes(st, 1) == HASH_LEN)
			memcpy(end.mac, sqlite3_column_blob(st, 1), HASH_LEN);
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	*ret = end;
	return 0;
}

/* Others may have appended since, so its last row need not be the last one any more. */
static int is_stored(struct store *s, bool *ret, struct error *e)
{
	static const unsigned char none[MARK_LEN];
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM audit WHERE seq = ?1 AND mac = ?2 AND (?3 IS NULL OR EXISTS "
				      "(SELECT 1 FROM meta WHERE name = '" RESTORED_META "' AND value = ?3))",
			       -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	sqlite3_bind_int64(st, 1, s->last.seq);
	sqlite3_bind_blob(st, 2, s->last.mac, HASH_LEN, SQLITE_STATIC);
	if (memcmp(s->mark, none, MARK_LEN) != 0)
		sqlite3_bind_blob(st, 3, s->mark, MARK_LEN, SQLITE_STATIC);
	int rc = sqlite3_step(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	*ret = rc == SQLITE_ROW;
	return 0;
}

int sqlite_flush(struct store *s, struct error *e)
{
	int pages = 0, done = 0;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_FULL, &pages, &done) != SQLITE_OK)
		return sqlite_fail(s, "write", e);
	return pages == done ? 0 : error_set(e, ERROR_BUSY, EBUSY, "cannot write %s: others are reading it", s->path);
}

/* Changes nothing, but writes a page: over those of a transaction that was not stored, if there is one. */
static int overwrite(struct store *s, struct error *e)
{
	return sqlite_run(s, "BEGIN IMMEDIATE; INSERT OR REPLACE INTO meta(name, value) VALUES('settled', x'00'); "
			     "DELETE FROM meta WHERE name = 'settled'; COMMIT", "write", e);
}

int store_settle(struct store *s, struct error *e)
{
	int r = overwrite(s, e);
	store_rollback(s);
	return r < 0 ? r : sqlite_flush(s, e);
}

int sqlite_settle(struct store *s, struct error *e)
{
	bool stored = false;
	int r = sqlite_reconnect(s, e);
	if (r < 0 || (r = store_settle(s, e)) < 0 || (r = is_stored(s, &stored, e)) < 0)
		return error_prefix(e, "a change may have been stored or not, as the disk failed");
	s->unsettled = false;
	memset(s->mark, 0, MARK_LEN);
	s->stored = stored;
	return 0;
}
