/* The rows of volumes in SQLite. */
#include "keystore/store/sqlite.h"

#include <string.h>

/* As with the audit trail, a value of another type than ours is damage, not something to convert. */
static int read_row(struct store *s, sqlite3_stmt *st, struct store_record *ret, struct error *e)
{
	struct store_record r = { 0 };
	const void *uuid = sqlite3_column_blob(st, 0);
	const void *luks = sqlite3_column_blob(st, 2);
	bool ok = sqlite3_column_type(st, 0) == SQLITE_BLOB && sqlite3_column_bytes(st, 0) == 16 &&
		  sqlite3_column_type(st, 1) == SQLITE_TEXT &&
		  sqlite3_column_type(st, 3) == SQLITE_INTEGER &&
		  sqlite3_column_type(st, 4) == SQLITE_INTEGER &&
		  sqlite3_column_type(st, 5) == SQLITE_BLOB &&
		  (sqlite3_column_type(st, 2) == SQLITE_NULL ||
		   (sqlite3_column_type(st, 2) == SQLITE_BLOB && sqlite3_column_bytes(st, 2) == 16));
	r.path = ok ? (const char *)sqlite3_column_text(st, 1) : NULL;
	if (!r.path || strlen(r.path) != (size_t)sqlite3_column_bytes(st, 1))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: a row of a volume is malformed", s->path);
	memcpy(r.uuid, uuid, sizeof(uuid_t));
	if (luks)
		memcpy(r.luks, luks, sizeof(uuid_t));
	r.revision = (uint64_t)sqlite3_column_int64(st, 3);
	r.last_used = sqlite3_column_int64(st, 4);
	r.envelope = sqlite3_column_blob(st, 5);
	r.envelope_len = (size_t)sqlite3_column_bytes(st, 5);
	*ret = r;
	return 0;
}

int store_find(struct store *s, enum store_key by, const void *key, store_record_fn fn, void *ctx,
		struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_FIND_UUID + by, e);
	if (!st)
		return -EIO;
	if (by == STORE_BY_PATH)
		sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	else
		sqlite3_bind_blob(st, 1, key, sizeof(uuid_t), SQLITE_STATIC);
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_record row;
		int r = read_row(s, st, &row, e);
		if (r < 0 || (r = fn(ctx, &row, e)))
			return r;
	}
	return rc == SQLITE_DONE ? 0 : sqlite_fail(s, "read", e);
}

static int stale(struct error *e)
{
	return error_set(e, ERROR_BUSY, ESTALE,
			 "the record was changed by another process meanwhile; try again");
}

int store_put(struct store *s, const struct store_record *r, uint64_t expect, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, expect ? SQL_UPDATE : SQL_INSERT, e);
	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, r->uuid, sizeof(uuid_t), SQLITE_STATIC);
	sqlite3_bind_text(st, 2, r->path, -1, SQLITE_STATIC);
	if (uuid_is_null(r->luks))
		sqlite3_bind_null(st, 3);
	else
		sqlite3_bind_blob(st, 3, r->luks, sizeof(uuid_t), SQLITE_STATIC);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)r->revision);
	sqlite3_bind_blob(st, 5, r->envelope, (int)r->envelope_len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 6, expect ? (sqlite3_int64)expect : r->last_used);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_CONSTRAINT && sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE)
		return error_set(e, ERROR_EXISTS, EEXIST, "the keystore has a volume at %s already", r->path);
	if (rc != SQLITE_DONE)
		return sqlite_fail(s, "write", e);
	return sqlite3_changes(s->db) == 1 ? 0 : stale(e);
}

int store_remove(struct store *s, const uuid_t volume, uint64_t expect, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_REMOVE, e);
	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, volume, sizeof(uuid_t), SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)expect);
	if (sqlite3_step(st) != SQLITE_DONE)
		return sqlite_fail(s, "write", e);
	return sqlite3_changes(s->db) == 1 ? 0 : stale(e);
}

int store_touch(struct store *s, const uuid_t volume, uint64_t expect, int64_t last_used,
		 struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_TOUCH, e);
	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, volume, sizeof(uuid_t), SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)expect);
	sqlite3_bind_int64(st, 3, last_used);
	if (sqlite3_step(st) != SQLITE_DONE)
		return sqlite_fail(s, "write", e);
	return sqlite3_changes(s->db) == 1 ? 0 : stale(e);
}

/* ---- each: in batches, so that no cursor is open while the callback works ---- */

#define BATCH 32

struct batch {
	struct store_record rows[BATCH];
	size_t n;
	bool last;		/* there are no more behind it */
	char *after;		/* path of its last row; one that is malformed may have a zero byte in it */
	size_t after_len;
	struct error damaged;	/* of a row that is malformed, which must not hide the others */
};

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free((char *)b->rows[i].path);
		free((unsigned char *)b->rows[i].envelope);
	}
	b->n = 0;
}

static int batch_went_to(struct batch *b, const void *path, size_t len, struct error *e)
{
	char *copy = malloc(len + 1);
	if (!copy)
		return error_oom(e);
	if (len)
		memcpy(copy, path, len);
	free(b->after);
	b->after = copy;
	b->after_len = len;
	return 0;
}

static int batch_add(struct batch *b, const struct store_record *row, struct error *e)
{
	char *path = strdup(row->path);
	unsigned char *envelope = malloc(row->envelope_len + 1);
	if (!path || !envelope) {
		free(path);
		free(envelope);
		return error_oom(e);
	}
	if (row->envelope_len)
		memcpy(envelope, row->envelope, row->envelope_len);
	b->rows[b->n] = *row;
	b->rows[b->n].path = path;
	b->rows[b->n].envelope = envelope;
	b->n++;
	return batch_went_to(b, path, strlen(path), e);
}

/* A path that is no text is behind all that are: there nothing follows. */
static int batch_skip(struct batch *b, sqlite3_stmt *st, const struct error *why, struct error *e)
{
	b->damaged = *why;
	if (sqlite3_column_type(st, 1) != SQLITE_TEXT) {
		b->last = true;
		return 1;
	}
	return batch_went_to(b, sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1), e);
}

static int batch_read(struct store *s, struct batch *b, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_EACH, e);
	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, b->after, (int)b->after_len, SQLITE_TRANSIENT);
	sqlite3_bind_int(st, 2, BATCH);
	int rc, rows = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_record row;
		struct error why = { 0 };
		rows++;
		int r = read_row(s, st, &row, &why);
		r = r < 0 ? batch_skip(b, st, &why, e) : batch_add(b, &row, e);
		if (r < 0)
			return r;
		if (r > 0)
			return 0;
	}
	if (rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	b->last = rows < BATCH;
	return 0;
}

static void batch_free(struct batch *b)
{
	batch_clear(b);
	free(b->after);
}

int store_each(struct store *s, store_record_fn fn, void *ctx, struct error *e)
{
	CLEANUP(batch_free) struct batch b = { .after = strdup("") };
	if (!b.after)
		return error_oom(e);
	while (!b.last) {
		batch_clear(&b);
		int r = batch_read(s, &b, e);
		for (size_t i = 0; r == 0 && i < b.n; i++)
			r = fn(ctx, &b.rows[i], e);
		if (r)
			return r;
	}
	return b.damaged.kind ? error_pass(e, &b.damaged) : 0;
}
