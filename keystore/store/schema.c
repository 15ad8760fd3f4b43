/* The tables of the SQLite store. FORMAT.md explains every column. */
#include "keystore/store/sqlite.h"

#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x6b766d63 /* "kvmc", seen by file(1) */

struct object {
	const char *name, *sql;
	int since;	/* schema version */
};

/*
 * The whole schema, as SQLite remembers it. What a database holds beyond this (a trigger, a view
 * that shadows a table) was put there by someone else, and the database is refused.
 */
static const struct object objects[] = {
	{ "meta", "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) "
		  "WITHOUT ROWID", 1 },
	{ "volume", "CREATE TABLE volume(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, "
		    "path TEXT NOT NULL, luks BLOB, revision INTEGER NOT NULL, "
		    "last_used INTEGER NOT NULL, envelope BLOB NOT NULL)", 1 },
	{ "volume_uuid", "CREATE UNIQUE INDEX volume_uuid ON volume(uuid)", 1 },
	{ "volume_path", "CREATE UNIQUE INDEX volume_path ON volume(path)", 1 },
	{ "volume_luks", "CREATE INDEX volume_luks ON volume(luks) WHERE luks IS NOT NULL", 1 },
	{ "audit", "CREATE TABLE audit(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, "
		   "uid INTEGER NOT NULL, pid INTEGER NOT NULL, kind INTEGER NOT NULL, "
		   "action TEXT NOT NULL, volume BLOB, detail TEXT, revision INTEGER, hash BLOB, "
		   "mac BLOB NOT NULL)", 1 },
	{ "audit_volume", "CREATE INDEX audit_volume ON audit(volume, kind, seq) "
			  "WHERE volume IS NOT NULL", 1 },
	{ "tree", "CREATE TABLE tree(place INTEGER PRIMARY KEY, node BLOB NOT NULL)", 2 },
};

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

/*
 * What SQLite makes by itself is an index for a key, without a text, and the tables of ANALYZE, always with the same.
 * Whatever else has such a name was put there past SQLite's own rules, like an index that leaves rows out.
 */
static bool is_of_sqlite(const char *type, const char *name, const char *sql)
{
	static const struct object made[] = {
		{ "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)", 1 },
		{ "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)", 1 },
	};
	if (!strcmp(name, "sqlite_autoindex_meta_1"))
		return !strcmp(type, "index") && !sql;
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		if (!strcmp(name, made[i].name) && !strcmp(type, "table") && sql && !strcmp(sql, made[i].sql))
			return true;
	return false;
}

static bool is_known(const char *name, const char *sql, int version)
{
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (!strcmp(objects[i].name, name))
			return objects[i].since <= version && sql && !strcmp(objects[i].sql, sql);
	return false;
}

static int recognise(struct store *s, int version, struct error *e)
{
	AUTOFINALIZE sqlite3_stmt *st = NULL;
	size_t known = 0, wanted = 0;
	int rc;
	if (sqlite3_prepare_v2(s->db, "SELECT type, name, sql FROM sqlite_schema", -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read", e);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *type = (const char *)sqlite3_column_text(st, 0);
		const char *name = (const char *)sqlite3_column_text(st, 1);
		const char *sql = (const char *)sqlite3_column_text(st, 2);
		bool ours = name && is_known(name, sql, version);
		if (!ours && (!name || !type || !is_of_sqlite(type, name, sql)))
			return error_set(e, ERROR_DAMAGED, EBADMSG,
					 "%s was tampered with: its schema has a foreign or changed '%s'",
					 s->path, name ? name : "?");
		known += ours;
	}
	if (rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		wanted += objects[i].since <= version;
	if (known != wanted)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: a table or index is missing",
				 s->path);
	return 0;
}

int store_upgrade(struct store *s, struct error *e)
{
	char number[48];
	int64_t version = 0;
	int r = pragma_int(s, "PRAGMA user_version", &version, e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(objects); i++)
		if (objects[i].since > version)
			r = run(s, objects[i].sql, e);
	snprintf(number, sizeof(number), "PRAGMA user_version=%d", STORE_SCHEMA_VERSION);
	return r < 0 || version >= STORE_SCHEMA_VERSION ? r : run(s, number, e);
}

int store_reindex(struct store *s, struct error *e)
{
	return run(s, "REINDEX", e);
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
	/* An older one gets its new tables with its first change: looking changes nothing. */
	int64_t now = version;
	r = recognise(s, (int)version, e);
	/* That change may have come between the number and the tables. */
	if (r < 0 && pragma_int(s, "PRAGMA user_version", &now, NULL) == 0 && now > version &&
	    now <= STORE_SCHEMA_VERSION)
		r = recognise(s, (int)now, e);
	return r;
}
