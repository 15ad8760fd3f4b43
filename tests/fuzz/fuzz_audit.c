/*
 * Rows of the audit trail as somebody with an editor for databases leaves them: each column of any type. What is taken
 * reads as it was written, and no two rows have one MAC.
 */
#include "keystore/audit.h"
#include "keystore/store/sqlite.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMNS 11

struct input {
	const uint8_t *p, *end;
};

static size_t take(struct input *in, const uint8_t **ret, size_t max)
{
	size_t len = in->p < in->end ? *in->p++ % (max + 1) : 0;
	if (len > (size_t)(in->end - in->p))
		len = (size_t)(in->end - in->p);
	*ret = in->p;
	in->p += len;
	return len;
}

static void bind(sqlite3_stmt *st, int column, struct input *in)
{
	const uint8_t *bytes;
	uint8_t kind = in->p < in->end ? *in->p++ : 0;
	size_t len = take(in, &bytes, 64);
	int64_t n = 0;
	memcpy(&n, bytes, len < sizeof(n) ? len : sizeof(n));
	switch (kind % 5) {
	case 0:
		sqlite3_bind_null(st, column);
		break;
	case 1:
		sqlite3_bind_text(st, column, (const char *)bytes, (int)len, SQLITE_TRANSIENT);
		break;
	case 2:
		sqlite3_bind_blob(st, column, bytes, (int)len, SQLITE_TRANSIENT);
		break;
	case 3:
		sqlite3_bind_double(st, column, (double)n);
		break;
	default:
		sqlite3_bind_int64(st, column, n);
	}
}

/* The text lives as long as the statement's row. */
static bool read_one(sqlite3 *db, struct input *in, sqlite3_stmt **st, struct store_audit *ret)
{
	if (sqlite3_prepare_v2(db, "SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11", -1, st, NULL) != SQLITE_OK)
		abort();
	for (int i = 1; i <= COLUMNS; i++)
		bind(*st, i, in);
	return sqlite3_step(*st) == SQLITE_ROW && sqlite_audit_row(*st, ret);
}

static bool same_text(const char *a, const char *b)
{
	return !a || !b ? a == b : !strcmp(a, b);
}

static bool same_row(const struct store_audit *a, const struct store_audit *b)
{
	return a->seq == b->seq && a->when == b->when && a->uid == b->uid && a->pid == b->pid && a->kind == b->kind &&
	       a->revision == b->revision && !uuid_compare(a->volume, b->volume) &&
	       !memcmp(a->hash, b->hash, HASH_LEN) && same_text(a->action, b->action) &&
	       same_text(a->detail, b->detail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct secret *key;
	static sqlite3 *db;
	static const unsigned char before[HASH_LEN];
	if (!db && (sqlite3_open(":memory:", &db) != SQLITE_OK || secret_new(32, &key, NULL) < 0))
		abort();
	struct input in = { data, data + size };
	struct store_audit a = { 0 }, b = { 0 };
	sqlite3_stmt *of_a = NULL, *of_b = NULL;
	unsigned char mac_a[HASH_LEN], mac_b[HASH_LEN];
	if (read_one(db, &in, &of_a, &a) && read_one(db, &in, &of_b, &b) &&
	    audit_row_mac(key, before, &a, mac_a, NULL) == 0 && audit_row_mac(key, before, &b, mac_b, NULL) == 0 &&
	    same_row(&a, &b) != !memcmp(mac_a, mac_b, HASH_LEN))
		abort();
	sqlite3_finalize(of_a);
	sqlite3_finalize(of_b);
	return 0;
}
