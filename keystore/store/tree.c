/* The nodes of the tree over the records: what they are is keystore/tree.c's. */
#include "keystore/store/sqlite.h"

#include <string.h>

int store_tree_get(struct store *s, uint64_t place, void *buf, size_t *ret_len, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, SQL_TREE_GET, e);
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)place);
	int rc = sqlite3_step(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sqlite_fail(s, "read", e);
	/* Another length or type than a node's has another digest, too. */
	bool blob = rc == SQLITE_ROW && sqlite3_column_type(st, 0) == SQLITE_BLOB;
	size_t len = blob ? (size_t)sqlite3_column_bytes(st, 0) : 0;
	len = len > *ret_len ? 0 : len;
	if (len)
		memcpy(buf, sqlite3_column_blob(st, 0), len);
	*ret_len = len;
	return 0;
}

int store_tree_put(struct store *s, uint64_t place, const void *data, size_t len, struct error *e)
{
	AUTOSTMT sqlite3_stmt *st = sqlite_stmt(s, len ? SQL_TREE_PUT : SQL_TREE_REMOVE, e);
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)place);
	if (len)
		sqlite3_bind_blob(st, 2, data, (int)len, SQLITE_STATIC);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : sqlite_fail(s, "write", e);
}

int store_tree_clear(struct store *s, struct error *e)
{
	return sqlite_run(s, "DELETE FROM tree", "write", e);
}
