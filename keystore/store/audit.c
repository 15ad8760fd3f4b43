/* The audit rows in SQLite. */
#include "keystore/store/sqlite.h"

#include <stdio.h>
#include <string.h>

static int bind_optional_blob(sqlite3_stmt *st, int i, const unsigned char *p, size_t len)
{
	static const unsigned char zero[HASH_LEN];
	if (!memcmp(p, zero, len))
		return sqlite3_bind_null(st, i);
	return sqlite3_bind_blob(st, i, p, (int)len, SQLITE_STATIC);
}

int store_audit_append(struct store *s, const struct store_audit *a, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_AUDIT_APPEND, e);
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)a->seq);
	sqlite3_bind_int64(st, 2, a->when);
	sqlite3_bind_int64(st, 3, a->uid);
	sqlite3_bind_int64(st, 4, a->pid);
	sqlite3_bind_int(st, 5, (int)a->kind);
	sqlite3_bind_text(st, 6, a->action, -1, SQLITE_STATIC);
	bind_optional_blob(st, 7, a->volume, sizeof(uuid_t));
	sqlite3_bind_text(st, 8, a->detail, -1, SQLITE_STATIC); /* NULL binds NULL */
	if (a->revision)
		sqlite3_bind_int64(st, 9, (sqlite3_int64)a->revision);
	else
		sqlite3_bind_null(st, 9);
	bind_optional_blob(st, 10, a->hash, HASH_LEN);
	sqlite3_bind_blob(st, 11, a->mac, HASH_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) != SQLITE_DONE)
		return sqlite_fail(s, "write the audit trail in", e);
	return 0;
}

int store_audit_remac(struct store *s, uint64_t seq, const unsigned char mac[HASH_LEN], struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_AUDIT_REMAC, e);
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)seq);
	sqlite3_bind_blob(st, 2, mac, HASH_LEN, SQLITE_STATIC);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(s, "write the audit trail in", e);
}

/* A blob of exactly len bytes, or NULL where that may be; false for anything else. */
static bool column_blob(sqlite3_stmt *st, int i, unsigned char *ret, size_t len, bool optional)
{
	if (optional && sqlite3_column_type(st, i) == SQLITE_NULL) {
		memset(ret, 0, len);
		return true;
	}
	const void *p = sqlite3_column_blob(st, i);
	if (sqlite3_column_type(st, i) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(st, i) != len || !p)
		return false;
	memcpy(ret, p, len);
	return true;
}

/* A row only says what it says if every column has its type: 1 and '1' must not read alike. */
bool sqlite_audit_row(sqlite3_stmt *st, struct store_audit *a)
{
	for (int i = 0; i < 5; i++)
		if (sqlite3_column_type(st, i) != SQLITE_INTEGER)
			return false;
	int detail = sqlite3_column_type(st, 7), revision = sqlite3_column_type(st, 8);
	if (sqlite3_column_type(st, 5) != SQLITE_TEXT || (detail != SQLITE_TEXT && detail != SQLITE_NULL) ||
	    (revision != SQLITE_INTEGER && revision != SQLITE_NULL))
		return false;
	a->seq = (uint64_t)sqlite3_column_int64(st, 0);
	a->when = sqlite3_column_int64(st, 1);
	sqlite3_int64 uid = sqlite3_column_int64(st, 2), pid = sqlite3_column_int64(st, 3);
	sqlite3_int64 kind = sqlite3_column_int64(st, 4);
	if (uid < 0 || uid > UINT32_MAX || pid < 0 || pid > INT32_MAX || kind < 0 || kind > 255)
		return false;
	a->uid = (uid_t)uid;
	a->pid = (pid_t)pid;
	a->kind = (enum audit_kind)kind;
	a->action = (const char *)sqlite3_column_text(st, 5);
	a->detail = (const char *)sqlite3_column_text(st, 7);
	a->revision = (uint64_t)sqlite3_column_int64(st, 8);
	/* Text with a zero byte would read as its beginning. */
	if (!a->action || strlen(a->action) != (size_t)sqlite3_column_bytes(st, 5) ||
	    (a->detail && strlen(a->detail) != (size_t)sqlite3_column_bytes(st, 7)))
		return false;
	return column_blob(st, 6, a->volume, sizeof(uuid_t), true) &&
	       column_blob(st, 9, a->hash, HASH_LEN, true) &&
	       column_blob(st, 10, a->mac, HASH_LEN, false);
}

#define COLUMNS "seq, time, uid, pid, kind, action, volume, detail, revision, hash, mac"

/* One statement a shape of question, so that each is answered from an index. */
static char *query_text(const struct store_audit_query *q)
{
	char kinds[64] = "";
	char *sql = NULL;
	if (q->kinds) {
		size_t n = 0;
		for (int k = AUDIT_EVENT; k <= AUDIT_SEAL; k++)
			if (q->kinds & 1u << k)
				n += (size_t)snprintf(kinds + n, sizeof(kinds) - n, "%s%d",
						      n ? "," : " AND kind IN (", k);
		snprintf(kinds + n, sizeof(kinds) - n, ")");
	}
	const char *volume = q->volume ? " AND volume = ?2" : "";
	int len = q->newest ? asprintf(&sql,
				       "SELECT * FROM (SELECT " COLUMNS " FROM audit WHERE seq >= ?1%s%s "
				       "ORDER BY seq DESC LIMIT ?3) ORDER BY seq", volume, kinds)
			    : asprintf(&sql,
				       "SELECT " COLUMNS " FROM audit WHERE seq >= ?1%s%s ORDER BY seq",
				       volume, kinds);
	return len < 0 ? NULL : sql;
}

void sqlite_audit_close(struct store *s)
{
	for (size_t i = 0; i < SQLITE_QUERIES; i++) {
		sqlite3_finalize(s->queries[i].st);
		free(s->queries[i].sql);
		s->queries[i] = (struct sqlite_query){ 0 };
	}
}

/*
 * A statement of this text that nobody is stepping: a callback may ask another question of the
 * same shape, and then gets a statement of its own. *ret_own: finalize it, it found no place.
 */
static int prepare(struct store *s, const char *sql, sqlite3_stmt **ret, bool *ret_own, struct error *e)
{
	struct sqlite_query *place = NULL;
	for (size_t i = 0; i < SQLITE_QUERIES; i++) {
		struct sqlite_query *q = &s->queries[i];
		if (!q->st)
			place = q;
		else if (!strcmp(q->sql, sql) && !sqlite3_stmt_busy(q->st)) {
			*ret = q->st;
			return 0;
		}
	}
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return sqlite_fail(s, "read the audit trail of", e);
	if (place && (place->sql = strdup(sql)))
		place->st = st;
	*ret_own = !place || !place->st;
	*ret = st;
	return 0;
}

static int step_all(struct store *s, sqlite3_stmt *st, const struct store_audit_query *q,
		    store_audit_fn fn, void *ctx, struct error *e)
{
	sqlite3_bind_int64(st, 1, q->first > INT64_MAX ? INT64_MAX : (sqlite3_int64)q->first);
	if (q->volume)
		sqlite3_bind_blob(st, 2, q->volume, sizeof(uuid_t), SQLITE_STATIC);
	if (q->newest)
		sqlite3_bind_int64(st, 3, q->newest > INT64_MAX ? INT64_MAX : (sqlite3_int64)q->newest);
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_audit a = { 0 };
		if (!sqlite_audit_row(st, &a))
			return error_set(e, ERROR_DAMAGED, EBADMSG, "row %lld of the audit trail is malformed",
					 (long long)sqlite3_column_int64(st, 0));
		int r = fn(ctx, &a, e);
		if (r)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : sqlite_fail(s, "read the audit trail of", e);
}

int store_audit_each(struct store *s, const struct store_audit_query *q, store_audit_fn fn,
		      void *ctx, struct error *e)
{
	sqlite3_stmt *st = NULL;
	bool own = false;
	AUTOFREE char *sql = query_text(q);
	if (!sql)
		return error_oom(e);
	int r = prepare(s, sql, &st, &own, e);
	if (r < 0)
		return r;
	r = step_all(s, st, q, fn, ctx, e);
	if (own)
		sqlite3_finalize(st);
	else
		sqlite3_reset(st);
	return r;
}
