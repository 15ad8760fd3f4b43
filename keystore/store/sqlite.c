/* The store on one host: an SQLite database in WAL mode. */
#include "keystore/store/sqlite.h"

#include "base/file.h"
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DATABASE "keystore.db"
#define BUSY_SECONDS 60
#define JOURNAL_PAGES 64
#define COLUMNS "uuid, path, luks, revision, last_used, envelope"

static const char *const sql_text[SQL_COUNT] = {
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_SNAPSHOT] = "SELECT 1 FROM meta WHERE name IS NULL",
	[SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_FIND_UUID] = "SELECT " COLUMNS " FROM volume WHERE uuid = ?1",
	[SQL_FIND_PATH] = "SELECT " COLUMNS " FROM volume WHERE path = ?1",
	[SQL_FIND_LUKS] = "SELECT " COLUMNS " FROM volume WHERE luks = ?1 LIMIT 2",
	[SQL_INSERT] = "INSERT INTO volume(uuid, path, luks, revision, envelope, last_used) "
		       "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_UPDATE] = "UPDATE volume SET path = ?2, luks = ?3, revision = ?4, envelope = ?5 "
		       "WHERE uuid = ?1 AND revision = ?6",
	[SQL_REMOVE] = "DELETE FROM volume WHERE uuid = ?1 AND revision = ?2",
	[SQL_TOUCH] = "UPDATE volume SET last_used = ?3 WHERE uuid = ?1 AND revision = ?2",
	[SQL_EACH] = "SELECT " COLUMNS " FROM volume WHERE path > ?1 ORDER BY path LIMIT ?2",
	[SQL_META_GET] = "SELECT value FROM meta WHERE name = ?1",
	[SQL_META_PUT] = "INSERT INTO meta(name, value) VALUES(?1, ?2) "
			 "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
	[SQL_AUDIT_APPEND] = "INSERT INTO audit(seq, time, uid, pid, kind, action, volume, detail, "
			     "revision, hash, mac) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[SQL_AUDIT_REMAC] = "UPDATE audit SET mac = ?2 WHERE seq = ?1",
	[SQL_TREE_GET] = "SELECT node FROM tree WHERE place = ?1",
	[SQL_TREE_PUT] = "INSERT OR REPLACE INTO tree(place, node) VALUES(?1, ?2)",
	[SQL_TREE_REMOVE] = "DELETE FROM tree WHERE place = ?1",
	[SQL_AUDIT_END] = "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1",
};

/* SQLite forgets the system's own word for some writes; then errno is still of the call that failed. */
static int system_word(struct store *s, int last)
{
	int err = sqlite3_system_errno(s->db);
	return err > 0 ? err : last == EFBIG || last == ENOSPC || last == EDQUOT || last == EROFS ? last : 0;
}

int sqlite_fail(struct store *s, const char *doing, struct error *e)
{
	int last = errno;
	const char *why = sqlite3_errmsg(s->db);
	switch (sqlite3_errcode(s->db)) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return error_set(e, ERROR_DAMAGED, EBADMSG, "cannot %s %s: %s", doing, s->path, why);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		if (s->no_locks)
			return error_errno(e, ERROR_FAILED, ENOLCK, "cannot %s %s: its file system has no locks", doing,
					   s->path);
		return error_set(e, ERROR_BUSY, EBUSY,
				 "cannot %s %s: another process held it for %d seconds", doing, s->path,
				 BUSY_SECONDS);
	case SQLITE_FULL:
		return error_set(e, ERROR_FAILED, ENOSPC, "cannot %s %s: %s", doing, s->path, why);
	case SQLITE_NOMEM:
		return error_oom(e);
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return error_set(e, ERROR_FAILED, EACCES, "cannot %s %s: %s", doing, s->path, why);
	default:
		/* "disk I/O error" may be a full disk; the system's own word says more. */
		if (system_word(s, last) > 0)
			return error_errno(e, ERROR_FAILED, system_word(s, last), "cannot %s %s (%s)", doing, s->path,
					   why);
		return error_set(e, ERROR_FAILED, EIO, "cannot %s %s: %s", doing, s->path, why);
	}
}

sqlite3_stmt *sqlite_stmt(struct store *s, enum sql which, struct error *e)
{
	if (!s->stmts[which] &&
	    sqlite3_prepare_v3(s->db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[which],
			       NULL) != SQLITE_OK) {
		sqlite_fail(s, "use", e);
		return NULL;
	}
	sqlite3_reset(s->stmts[which]);
	return s->stmts[which];
}

/* SQLite's own handler sleeps up to 100 ms and starves whoever came first; this one stays nimble. */
static int on_busy(void *ctx, int count)
{
	struct store *s = ctx;
	/* To SQLite a lock that cannot be had and one that does not exist are the same. */
	s->no_locks = errno == ENOLCK;
	if (s->no_locks)
		return 0;
	struct timespec nap = { 0, 500000 + (count % 7) * 700000 };
	/* About 2.6 ms a round on average. */
	if (count == LOCK_TELL_SECONDS * 1000 / 3)
		lock_say_waits("another process has locked the keystore's database", 0);
	if (count > BUSY_SECONDS * 1000 / 3)
		return 0;
	nanosleep(&nap, NULL);
	return 1;
}

int sqlite_run(struct store *s, const char *sql, const char *doing, struct error *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_fail(s, doing, e);
}

static int simple(struct store *s, enum sql which, const char *doing, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, which, e);
	if (!st)
		return -EIO;
	return sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(s, doing, e);
}

void store_rollback(struct store *s)
{
	/* Some errors roll back by themselves; then there is nothing to undo. */
	if (s->db && !sqlite3_get_autocommit(s->db))
		simple(s, SQL_ROLLBACK, "undo in", NULL);
}

int store_begin(struct store *s, bool write, struct error *e)
{
	int r = s->unsettled ? sqlite_settle(s, e) : 0;
	if (r < 0 || write)
		return r < 0 ? r : simple(s, SQL_BEGIN_WRITE, "use", e);
	/* A plain BEGIN takes its snapshot at the first read, so read. */
	r = simple(s, SQL_BEGIN_READ, "use", e);
	if (r == 0 && (r = simple(s, SQL_SNAPSHOT, "use", e)) < 0)
		store_rollback(s);
	return r;
}

int store_commit(struct store *s, struct error *e)
{
	struct error why = { 0 };
	int r = sqlite_trail_end(s, &s->last, e);
	if (r < 0 || (r = simple(s, SQL_COMMIT, "write", &why)) == 0)
		return r;
	store_rollback(s);
	s->unsettled = true;
	if (sqlite_settle(s, NULL) == 0 && s->stored)
		return 0;
	return error_pass(e, &why);
}

bool store_is_unsettled(const struct store *s)
{
	return s->unsettled;
}

/* ---- meta ---- */

int store_meta_get(struct store *s, const char *name, void *buf, size_t *ret_len, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_META_GET, e);
	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return error_set(e, ERROR_DAMAGED, ENOENT, "%s is damaged: it lacks '%s'", s->path, name);
	if (rc != SQLITE_ROW)
		return sqlite_fail(s, "read", e);
	size_t len = (size_t)sqlite3_column_bytes(st, 0);
	if (sqlite3_column_type(st, 0) != SQLITE_BLOB || !len || len > *ret_len)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: '%s' is malformed", s->path, name);
	memcpy(buf, sqlite3_column_blob(st, 0), len);
	*ret_len = len;
	return 0;
}

int store_meta_put(struct store *s, const char *name, const void *data, size_t len, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_META_PUT, e);
	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, data, (int)len, SQLITE_STATIC);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(s, "write", e);
}

/* ---- the database as a whole ---- */

/* Best effort: a reader elsewhere keeps the journal, and waiting for it gains little. */
static void empty_journal(struct store *s)
{
	sqlite3_busy_handler(s->db, NULL, NULL);
	sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_handler(s->db, on_busy, s);
}

void store_scrub(struct store *s)
{
	empty_journal(s);
}

/*
 * SQLite's own automatic checkpoint copies the journal but leaves its reuse to the next transaction of the same
 * process. A command makes one and ends: the journal would grow, and whoever opens it first reads all of it.
 */
static int on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	if (pages >= JOURNAL_PAGES)
		empty_journal(ctx);
	return SQLITE_OK;
}

int store_verify(struct store *s, store_finding_fn fn, void *ctx, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	int rc;
	if (sqlite3_prepare_v2(s->db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "check", e);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 0);
		if (line && strcmp(line, "ok"))
			fn(ctx, line);
	}
	return rc == SQLITE_DONE ? 0 : sqlite_fail(s, "check", e);
}

static void disconnect(struct store *s)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(s->stmts[i]);
		s->stmts[i] = NULL;
	}
	sqlite_audit_close(s);
	sqlite3_close(s->db);
	s->db = NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	disconnect(s);
	free(s->path);
	free(s);
}

/* The database was written by who knows whom: trust neither its schema nor its cells. */
static int harden(struct store *s, struct error *e)
{
	sqlite3_busy_handler(s->db, on_busy, s);
	sqlite3_extended_result_codes(s->db, 0);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	/* Every command would copy its page or two into the database and sync three times more for it. */
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_wal_hook(s->db, on_commit, s);
	if (sqlite3_exec(s->db,
			 "PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON; "
			 "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192",
			 NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(s, "open", e);
	return 0;
}

/* Made by us before SQLite sees it: the mode is 0600 from the start, and WAL files inherit it. */
static int create_file(const char *dir, struct error *e)
{
	AUTOFREE char *path = NULL;
	if (asprintf(&path, "%s/" DATABASE, dir) < 0) {
		path = NULL;
		return error_oom(e);
	}
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot create %s", path);
	return 0;
}

static int connect(struct store *s, struct error *e)
{
	if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW |
			    SQLITE_OPEN_PRIVATECACHE, NULL) != SQLITE_OK)
		return s->db ? sqlite_fail(s, "open", e) : error_oom(e);
	return harden(s, e);
}

int sqlite_reconnect(struct store *s, struct error *e)
{
	disconnect(s);
	return connect(s, e);
}

int sqlite_open_file(const char *path, struct store **ret, struct error *e)
{
	AUTOSTORE struct store *s = calloc(1, sizeof(*s));
	if (!s || !(s->path = strdup(path)))
		return error_oom(e);
	int r = connect(s, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static int open_database(const char *dir, struct store **ret, struct error *e)
{
	AUTOFREE char *path = NULL;
	if (asprintf(&path, "%s/" DATABASE, dir) < 0) {
		path = NULL;
		return error_oom(e);
	}
	return sqlite_open_file(path, ret, e);
}

int store_open(const char *dir, bool create, struct store **ret, struct error *e)
{
	AUTOSTORE struct store *s = NULL;
	int r = create ? create_file(dir, e) : 0;
	if (r < 0 || (r = open_database(dir, &s, e)) < 0)
		return r;
	r = create ? sqlite_schema_create(s, e) : sqlite_schema_open(s, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

/* Does it hold nothing: no tables yet, or our tables without a record? */
static int is_empty(const char *dir, bool *ret, struct error *e)
{
	AUTOSTORE struct store *s = NULL;
	AUTOFINALIZE sqlite3_stmt *st = NULL; /* behind the store, so that it is gone first */
	int r = open_database(dir, &s, e);
	if (r < 0)
		return r;
	if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM sqlite_schema", -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		sqlite3_finalize(st);
		st = NULL;
		if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM volume", -1, &st, NULL) != SQLITE_OK)
			return sqlite_fail(s, "read", e);
		r = sqlite3_step(st);
	}
	if (r != SQLITE_DONE && r != SQLITE_ROW)
		return sqlite_fail(s, "read", e);
	*ret = r == SQLITE_DONE;
	sqlite3_finalize(st);
	st = NULL;
	return 0;
}

int store_discard(const char *dir, struct error *e)
{
	static const char *const names[] = { DATABASE "-journal", DATABASE "-wal", DATABASE "-shm", DATABASE };
	AUTOFREE char *path = NULL;
	bool empty = true;
	if (asprintf(&path, "%s/" DATABASE, dir) < 0)
		return error_oom(e);
	int r = access(path, F_OK) == 0 ? is_empty(dir, &empty, e) : 0;
	if (r < 0 || !empty)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s holds a keystore whose seal is missing; restore the file 'seal' from a backup, "
				 "or move %s away", dir, path);
	/* The database last: without it the others mean nothing. */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTOFREE char *name = NULL;
		if (asprintf(&name, "%s/%s", dir, names[i]) < 0)
			return error_oom(e);
		if (unlink(name) < 0 && errno != ENOENT)
			return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", name);
	}
	return 0;
}
