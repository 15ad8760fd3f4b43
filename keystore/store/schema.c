/* The tables of the SQLite store. FORMAT.md explains every column. */
#include "keystore/store/sqlite.h"

#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x6b766d63 /* "kvmc", seen by file(1) */

struct object {
	const char *name, *sql;
};

/*
 * The whole schema, as SQLite remembers it. What a database holds beyond this (a trigger, a view
 * that shadows a table) was put there by someone else, and the database is refused.
 */
static const struct object objects[] = {
	{ "meta", "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) "
		  "WITHOUT ROWID" },
	{ "volume", "CREATE TABLE volume(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, "
		    "path TEXT NOT NULL, luks BLOB, revision INTEGER NOT NULL, "
		    "last_used INTEGER NOT NULL, envelope BLOB NOT NULL)" },
	{ "volume_uuid", "CREATE UNIQUE INDEX volume_uuid ON volume(uuid)" },
	{ "volume_path", "CREATE UNIQUE INDEX volume_path ON volume(path)" },
	{ "volume_luks", "CREATE INDEX volume_luks ON volume(luks) WHERE luks IS NOT NULL" },
	{ "audit", "CREATE TABLE audit(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, "
		   "uid INTEGER NOT NULL, pid INTEGER NOT NULL, kind INTEGER NOT NULL, "
		   "action TEXT NOT NULL, volume BLOB, detail TEXT, revision INTEGER, hash BLOB, "
		   "mac BLOB NOT NULL)" },
	{ "audit_volume", "CREATE INDEX audit_volume ON audit(volume, kind, seq) "
			  "WHERE volume IS NOT NULL" },
};

/* migrations[n] leads from schema version n + 1 to n + 2. There is only one version so far. */
static const char *const migrations[STORE_SCHEMA_VERSION - 1 + 1] = { NULL };

static int run(struct store *s, const char *sql, struct error *e)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(s, "set up", e);
	return 0;
}

static int pragma_int(struct store *s, const char *sql, int64_t *ret, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		return sqlite_fail(s, "read", e);
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

int sqlite_schema_create(struct store *s, struct error *e)
{
	char numbers[96];
	int r = run(s, "PRAGMA journal_mode=WAL; BEGIN IMMEDIATE", e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(objects); i++)
		r = run(s, objects[i].sql, e);
	snprintf(numbers, sizeof(numbers), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
		 APPLICATION_ID, STORE_SCHEMA_VERSION);
	return r < 0 ? r : run(s, numbers, e);
}

static int migrate(struct store *s, struct error *e)
{
	int64_t version;
	/* Version again, now under the lock: another process may have been faster. */
	int r = run(s, "BEGIN IMMEDIATE", e);
	if (r == 0)
		r = pragma_int(s, "PRAGMA user_version", &version, e);
	while (r == 0 && version < STORE_SCHEMA_VERSION) {
		char number[48];
		snprintf(number, sizeof(number), "PRAGMA user_version=%d", (int)version + 1);
		r = run(s, migrations[version - 1], e);
		if (r == 0)
			r = run(s, number, e);
		version++;
	}
	if (r < 0) {
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return r;
	}
	return run(s, "COMMIT", e);
}

/* SQLite's own objects (sqlite_autoindex…, sqlite_stat1) are named by nobody else. */
static int recognise(struct store *s, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	size_t known = 0;
	int rc;
	if (sqlite3_prepare_v2(s->db, "SELECT name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'",
			       -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		const char *sql = (const char *)sqlite3_column_text(st, 1);
		size_t i = 0;
		while (i < ARRAY_LEN(objects) && (!name || strcmp(objects[i].name, name)))
			i++;
		if (i == ARRAY_LEN(objects) || !sql || strcmp(objects[i].sql, sql))
			return error_set(e, ERROR_DAMAGED, EBADMSG,
					 "%s was tampered with: its schema has a foreign or changed '%s'",
					 s->path, name ? name : "?");
		known++;
	}
	if (rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	if (known != ARRAY_LEN(objects))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: a table or index is missing",
				 s->path);
	return 0;
}

int sqlite_schema_open(struct store *s, struct error *e)
{
	int64_t id = 0, version = 0;
	int r = pragma_int(s, "PRAGMA application_id", &id, e);
	if (r < 0 || (r = pragma_int(s, "PRAGMA user_version", &version, e)) < 0)
		return r;
	if (id != APPLICATION_ID || version < 1)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is not a kvmcrypt keystore", s->path);
	if (version > STORE_SCHEMA_VERSION)
		return error_set(e, ERROR_FAILED, ENOTSUP,
				 "%s has schema version %d, made by a newer kvmcrypt; this one knows %d",
				 s->path, (int)version, STORE_SCHEMA_VERSION);
	if (version < STORE_SCHEMA_VERSION && (r = migrate(s, e)) < 0)
		return r;
	return recognise(s, e);
}
