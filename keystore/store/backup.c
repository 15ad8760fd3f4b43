/* The database as one file, and back: SQLite makes the copy and the transaction. */
#include "keystore/store/sqlite.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define SEAL_META "seal"
#define FINDING_MAX 256

/* A statement with one text: ATTACH and VACUUM INTO take a path no other way. */
static int run_path(struct store *s, const char *sql, const char *path, const char *doing, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, doing, e);
	sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(s, doing, e);
}

int store_backup(struct store *s, const char *path, const void *seal, size_t seal_len, struct error *e)
{
	AUTOSTORE struct store *copy = NULL;
	/* One read transaction, whoever writes meanwhile; freed pages and their old contents stay behind. */
	int r = run_path(s, "VACUUM INTO ?1", path, "back up", e);
	if (r < 0 || (r = sqlite_open_file(path, &copy, e)) < 0 ||
	    (r = sqlite_run(copy, "PRAGMA journal_mode=MEMORY", "write", e)) < 0)
		return r;
	return store_meta_put(copy, SEAL_META, seal, seal_len, e);
}

static void keep_finding(void *ctx, const char *finding)
{
	snprintf(ctx, FINDING_MAX, "%s", finding);
}

int store_open_backup(const char *path, struct store **ret, void **ret_seal, size_t *ret_seal_len, struct error *e)
{
	AUTOSTORE struct store *s = NULL;
	/* Behind the store, so that it is gone first: SQLite closes nothing that has a statement. */
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	char finding[FINDING_MAX] = "";
	int r = sqlite_open_file(path, &s, e);
	if (r < 0 || (r = sqlite_schema_open(s, e)) < 0 || (r = store_verify(s, keep_finding, finding, e)) < 0)
		return r;
	if (*finding)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: %s", path, finding);
	if (sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE name = '" SEAL_META "'", -1, &st, NULL) !=
	    SQLITE_OK)
		return sqlite_fail(s, "read", e);
	if (sqlite3_step(st) != SQLITE_ROW || sqlite3_column_type(st, 0) != SQLITE_BLOB)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is no backup of a keystore: it has no seal in it",
				 path);
	*ret_seal_len = (size_t)sqlite3_column_bytes(st, 0);
	*ret_seal = malloc(*ret_seal_len + 1);
	if (!*ret_seal)
		return error_oom(e);
	if (*ret_seal_len) /* an empty one has no address */
		memcpy(*ret_seal, sqlite3_column_blob(st, 0), *ret_seal_len);
	sqlite3_finalize(TAKE_PTR(st));
	*ret = TAKE_PTR(s);
	return 0;
}

/* Every change has a row in the audit trail, so the head of the trail tells of any. */
static int check_as(struct store *s, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM main.meta JOIN o.meta USING(name) WHERE name = 'audit_head' AND "
				      "main.meta.value = o.meta.value", -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE
		       ? error_set(e, ERROR_BUSY, ESTALE, "the keystore was changed just now: run the command again")
		       : sqlite_fail(s, "read", e);
}

/* What a COMMIT that fails is recognised by: the trail of the backup may be the beginning of that of the store. */
static int put_mark(struct store *s, struct error *e)
{
	size_t len = MARK_LEN;
	int r = sqlite_run(s, "INSERT OR REPLACE INTO main.meta(name, value) VALUES('" RESTORED_META
			      "', randomblob(16))", "restore", e);
	return r < 0 ? r : store_meta_get(s, RESTORED_META, s->mark, &len, e);
}

/* An older backup has none, and what is restored from it gets one with its first change. */
static int copy_tree(struct store *s, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM b.sqlite_schema WHERE name = 'tree'", -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return sqlite_run(s, "INSERT INTO main.tree SELECT place, node FROM b.tree", "restore", e);
	return rc == SQLITE_DONE ? 0 : sqlite_fail(s, "read", e);
}

static int replace_all(struct store *s, bool check, struct error *e)
{
	static const char replace[] =
		"DELETE FROM main.meta; DELETE FROM main.volume; DELETE FROM main.audit; DELETE FROM main.tree;"
		"INSERT INTO main.meta SELECT name, value FROM b.meta WHERE name <> '" SEAL_META "';"
		"INSERT INTO main.volume SELECT id, uuid, path, luks, revision, last_used, envelope FROM b.volume;"
		"INSERT INTO main.audit SELECT seq, time, uid, pid, kind, action, volume, detail, revision, hash, mac "
		"FROM b.audit";
	int r = check ? check_as(s, e) : 0;
	if (r == 0)
		r = store_upgrade(s, e);
	if (r == 0)
		r = sqlite_run(s, replace, "restore", e);
	if (r == 0)
		r = copy_tree(s, e);
	return r < 0 ? r : put_mark(s, e);
}

/*
 * Attached before the transaction, the two would be locked for writing with the store, and SQLite would make a journal
 * over all three of them that lies in nobody's directory for good when the process is killed.
 */
int store_restore(struct store *s, const char *backup, const char *as, struct error *e)
{
	int r = store_begin(s, true, e);
	if (r < 0)
		return r;
	if ((r = run_path(s, "ATTACH ?1 AS b", backup, "read", e)) == 0 && as)
		r = run_path(s, "ATTACH ?1 AS o", as, "read", e);
	if (r == 0 && (r = replace_all(s, as != NULL, e)) == 0)
		r = store_commit(s, e);
	if (!s->unsettled)
		memset(s->mark, 0, MARK_LEN);
	store_rollback(s);
	sqlite3_exec(s->db, "DETACH b", NULL, NULL, NULL);
	sqlite3_exec(s->db, "DETACH o", NULL, NULL, NULL);
	return r;
}
