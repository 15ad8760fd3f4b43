/* keystore/store: rows, transactions, and what a COMMIT that fails has done. */
#include "keystore_fixture.h"

#include "keystore/internal.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static struct store *store;

static int setup(void **state)
{
	setup_dir(state);
	return store_open(test_dir, true, &store, &e);
}

static int teardown(void **state)
{
	store_closep(&store);
	return teardown_dir(state);
}

/* Rows whose envelope is just some bytes: the store does not look into it. */
static struct store_record row(unsigned char id, const char *path, uint64_t revision)
{
	struct store_record r = { .path = path, .revision = revision,
				  .envelope = (const unsigned char *)"sealed", .envelope_len = 6 };
	memset(r.uuid, id, sizeof(uuid_t));
	memset(r.luks, id + 100, sizeof(uuid_t));
	return r;
}

static int insert(unsigned char id, const char *path)
{
	struct store_record r = row(id, path, 1);
	return store_put(store, &r, 0, &e);
}

struct seen {
	int n;
	char paths[256];
	struct store_record last;
};

static int see(void *ctx, const struct store_record *r, struct error *err)
{
	struct seen *s = ctx;
	(void)err;
	s->n++;
	strncat(s->paths, r->path, sizeof(s->paths) - strlen(s->paths) - 1);
	s->last = *r;
	return 0;
}

static struct seen find(enum store_key by, const void *key)
{
	struct seen s = { 0 };
	assert_ok(store_find(store, by, key, see, &s, &e));
	return s;
}

static void put_and_find(void **state)
{
	struct store_record r = row(1, "/a", 1);
	uuid_t none = { 9 };
	(void)state;
	r.last_used = 77;
	assert_ok(store_put(store, &r, 0, &e));
	assert_ok(insert(2, "/b"));
	assert_string_equal(find(STORE_BY_UUID, r.uuid).paths, "/a");
	assert_string_equal(find(STORE_BY_PATH, "/b").paths, "/b");
	struct seen s = find(STORE_BY_LUKS, r.luks);
	assert_string_equal(s.paths, "/a");
	assert_int_equal(s.last.last_used, 77);
	assert_int_equal(find(STORE_BY_UUID, none).n, 0);
	assert_int_equal(find(STORE_BY_PATH, "").n, 0);
	/* Bytes that are no UTF-8, quotes, wildcards: a path is a path. */
	static const char *const odd[] = { "/\xff\xfe", "/it's", "/%", "/_", "/a\nb", "/\"; DROP TABLE volume; --" };
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_ok(insert((unsigned char)(10 + i), odd[i]));
		assert_string_equal(find(STORE_BY_PATH, odd[i]).paths, odd[i]);
	}
}

static void null_luks_is_no_key(void **state)
{
	struct store_record r = row(1, "/a", 1);
	(void)state;
	uuid_clear(r.luks);
	assert_ok(store_put(store, &r, 0, &e));
	assert_int_equal(find(STORE_BY_LUKS, r.luks).n, 0);
	assert_true(uuid_is_null(find(STORE_BY_PATH, "/a").last.luks));
}

static void compare_and_set(void **state)
{
	struct store_record r = row(1, "/a", 2);
	(void)state;
	assert_fails(store_put(store, &r, 1, &e), ERROR_BUSY, "changed by another process");
	assert_ok(insert(1, "/a"));
	assert_fails(store_put(store, &r, 5, &e), ERROR_BUSY, "changed by another process");
	assert_int_equal(e.err, ESTALE);
	assert_ok(store_put(store, &r, 1, &e));
	assert_int_equal(find(STORE_BY_PATH, "/a").last.revision, 2);
	assert_fails(store_touch(store, r.uuid, 1, 5, &e), ERROR_BUSY, "changed");
	assert_ok(store_touch(store, r.uuid, 2, 5, &e));
	r.revision = 3;
	assert_ok(store_put(store, &r, 2, &e));
	assert_int_equal(find(STORE_BY_PATH, "/a").last.last_used, 5);
	assert_fails(store_remove(store, r.uuid, 2, &e), ERROR_BUSY, "changed");
	assert_ok(store_remove(store, r.uuid, 3, &e));
	assert_fails(store_remove(store, r.uuid, 3, &e), ERROR_BUSY, "changed");
	assert_ok(insert(1, "/a"));
	assert_fails(insert(1, "/x"), ERROR_EXISTS, "/x");
	assert_fails(insert(2, "/a"), ERROR_EXISTS, "/a");
}

static void transactions(void **state)
{
	struct store *other = NULL;
	(void)state;
	assert_ok(store_open(test_dir, false, &other, &e));
	assert_ok(store_begin(store, true, &e));
	assert_ok(insert(1, "/a"));
	store_rollback(store);
	assert_int_equal(find(STORE_BY_PATH, "/a").n, 0);
	store_rollback(store); /* nothing to undo is fine */
	/* A reader's snapshot begins with begin, not with its first question. */
	assert_ok(store_begin(other, false, &e));
	assert_ok(store_begin(store, true, &e));
	assert_ok(insert(1, "/a"));
	assert_ok(store_commit(store, &e));
	struct seen s = { 0 };
	assert_ok(store_find(other, STORE_BY_PATH, "/a", see, &s, &e));
	assert_int_equal(s.n, 0);
	store_rollback(other);
	assert_ok(store_find(other, STORE_BY_PATH, "/a", see, &s, &e));
	assert_int_equal(s.n, 1);
	store_closep(&other);
}

static int stop_at_third(void *ctx, const struct store_record *r, struct error *err)
{
	see(ctx, r, err);
	return ((struct seen *)ctx)->n == 3 ? -ECANCELED : 0;
}

static int remove_it(void *ctx, const struct store_record *r, struct error *err)
{
	see(ctx, r, err);
	return store_remove(store, r->uuid, r->revision, err);
}

static void each_in_order(void **state)
{
	struct seen s = { 0 };
	(void)state;
	for (int i = 0; i < 100; i++) {
		char path[8];
		snprintf(path, sizeof(path), "/%02d", i * 37 % 100);
		assert_ok(insert((unsigned char)(i + 1), path));
	}
	assert_ok(store_each(store, see, &s, &e));
	assert_int_equal(s.n, 100);
	assert_memory_equal(s.paths, "/00/01/02/03/04", 15);
	s = (struct seen){ 0 };
	assert_int_equal(store_each(store, stop_at_third, &s, &e), -ECANCELED);
	assert_int_equal(s.n, 3);
	s = (struct seen){ 0 };
	assert_ok(store_each(store, remove_it, &s, &e));
	assert_int_equal(s.n, 100);
	s = (struct seen){ 0 };
	assert_ok(store_each(store, see, &s, &e));
	assert_int_equal(s.n, 0);
}

static void meta(void **state)
{
	char buf[8];
	size_t len = sizeof(buf);
	(void)state;
	assert_fails(store_meta_get(store, "x", buf, &len, &e), ERROR_DAMAGED, "lacks 'x'");
	assert_int_equal(e.err, ENOENT);
	assert_ok(store_meta_put(store, "x", "one", 3, &e));
	assert_ok(store_meta_put(store, "x", "other", 5, &e));
	assert_ok(store_meta_get(store, "x", buf, &len, &e));
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "other", 5);
	len = 4;
	assert_fails(store_meta_get(store, "x", buf, &len, &e), ERROR_DAMAGED, "malformed");
}

static int add_seq(void *ctx, const struct store_audit *a, struct error *err)
{
	char *text = ctx;
	(void)err;
	snprintf(text + strlen(text), 256 - strlen(text), "%llu ", (unsigned long long)a->seq);
	return 0;
}

static void assert_rows(struct store_audit_query q, const char *want)
{
	char got[256] = "";
	assert_ok(store_audit_each(store, &q, add_seq, got, &e));
	assert_string_equal(got, want);
}

static void audit_queries(void **state)
{
	uuid_t a = { 1 }, b = { 2 };
	(void)state;
	for (uint64_t seq = 1; seq <= 9; seq++) {
		struct store_audit row = { .seq = seq, .action = "x", .kind = seq % 2 ? AUDIT_USE : AUDIT_PUT };
		uuid_copy(row.volume, seq < 6 ? a : b);
		assert_ok(store_audit_append(store, &row, &e));
	}
	struct store_audit again = { .seq = 9, .action = "x", .kind = AUDIT_EVENT };
	assert_true(store_audit_append(store, &again, &e) < 0);
	assert_rows((struct store_audit_query){ 0 }, "1 2 3 4 5 6 7 8 9 ");
	assert_rows((struct store_audit_query){ .first = 7 }, "7 8 9 ");
	assert_rows((struct store_audit_query){ .first = UINT64_MAX }, "");
	assert_rows((struct store_audit_query){ .newest = 2 }, "8 9 ");
	assert_rows((struct store_audit_query){ .newest = UINT64_MAX }, "1 2 3 4 5 6 7 8 9 ");
	assert_rows((struct store_audit_query){ .volume = a }, "1 2 3 4 5 ");
	assert_rows((struct store_audit_query){ .volume = a, .newest = 2 }, "4 5 ");
	assert_rows((struct store_audit_query){ .volume = a, .kinds = 1u << AUDIT_PUT }, "2 4 ");
	assert_rows((struct store_audit_query){ .volume = a, .kinds = 1u << AUDIT_PUT, .newest = 1 }, "4 ");
	assert_rows((struct store_audit_query){ .kinds = 1u << AUDIT_USE | 1u << AUDIT_PUT, .newest = 3 }, "7 8 9 ");
	assert_rows((struct store_audit_query){ .kinds = 1u << AUDIT_SEAL }, "");
}

/* No plan of a command may read a whole table: that is what makes a million volumes quick. */
static void hot_queries_use_an_index(void **state)
{
	static const char *const queries[] = {
		"SELECT * FROM volume WHERE uuid = ?1",
		"SELECT * FROM volume WHERE path = ?1",
		"SELECT * FROM volume WHERE luks = ?1 LIMIT 2",
		"SELECT * FROM volume WHERE path > ?1 ORDER BY path LIMIT 32",
		"SELECT * FROM (SELECT seq FROM audit WHERE seq >= ?1 AND volume = ?2 AND kind IN (3,4) "
		"ORDER BY seq DESC LIMIT ?3) ORDER BY seq",
	};
	sqlite3 *db = NULL;
	(void)state;
	assert_int_equal(sqlite3_open(in_dir("keystore.db"), &db), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		char text[512];
		sqlite3_stmt *st = NULL;
		snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", queries[i]);
		assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *detail = (const char *)sqlite3_column_text(st, 3);
			if (strstr(detail, "SCAN volume") || strstr(detail, "SCAN audit"))
				fail_msg("%s: %s", queries[i], detail);
		}
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
}

/* ---- a commit whose sync fails ---- */

static int failing_syncs;

/* In the place of libc's, for SQLite too. */
int fdatasync(int fd)
{
	if (failing_syncs > 0) {
		failing_syncs--;
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

static struct keystore *keystore_for_faults(struct record **ret)
{
	struct keystore *ks = make_keystore("k");
	*ret = store_record(ks, "/a");
	return ks;
}

/* The journal has it, and a fresh connection that is alone finds it: so it is stored, and the answer says so. */
static void a_failed_sync_that_was_stored(void **state)
{
	AUTORECORD struct record *r = NULL;
	AUTOKEYSTORE struct keystore *ks = keystore_for_faults(&r);
	(void)state;
	failing_syncs = 1;
	assert_ok(keystore_put(ks, r, "update", NULL, &e));
	assert_int_equal(failing_syncs, 0);
	assert_int_equal(r->revision, 2);
	assert_false(store_is_unsettled(ks->store));
	assert_check(ks, NULL);
	AUTOKEYSTORE struct keystore *other = open_unsealed("k");
	AUTORECORD struct record *got = NULL;
	assert_ok(keystore_find_path(other, "/a", &got, &e));
	assert_int_equal(got->revision, 2);
}

/* With another process at it, the fresh connection finds the old state, and then it stays the old one for good. */
static void a_failed_sync_that_was_not_stored(void **state)
{
	AUTORECORD struct record *r = NULL;
	struct keystore *ks = keystore_for_faults(&r), *other = open_unsealed("k");
	(void)state;
	failing_syncs = 1;
	assert_fails(keystore_put(ks, r, "update", NULL, &e), ERROR_FAILED, "cannot write");
	assert_int_equal(r->revision, 1);
	assert_false(store_is_unsettled(ks->store));
	keystore_free(ks);
	keystore_free(other);
	/* Who is alone now reads the journal from its beginning. */
	AUTOKEYSTORE struct keystore *later = open_unsealed("k");
	AUTORECORD struct record *got = NULL;
	assert_ok(keystore_find_path(later, "/a", &got, &e));
	assert_int_equal(got->revision, 1);
	assert_check(later, NULL);
}

/* A disk that goes on failing gives no answer, and until it does nothing is read or written. */
static void a_disk_that_says_nothing(void **state)
{
	AUTORECORD struct record *r = NULL;
	AUTORECORD struct record *got = NULL;
	AUTOKEYSTORE struct keystore *ks = keystore_for_faults(&r);
	(void)state;
	failing_syncs = 1000;
	assert_fails(keystore_put(ks, r, "update", NULL, &e), ERROR_FAILED, "cannot write");
	assert_true(store_is_unsettled(ks->store));
	assert_fails(keystore_get(ks, r->uuid, &got, &e), ERROR_FAILED, "may have been stored or not");
	failing_syncs = 0;
	assert_ok(keystore_get(ks, r->uuid, &got, &e));
	assert_false(store_is_unsettled(ks->store));
	assert_int_equal(got->revision, 2);
	assert_check(ks, NULL);
}

/* Each command is a process of its own, with one transaction; who opens the journal first reads all of it. */
static void journal_stays_short(void **state)
{
	char path[PATH_MAX];
	struct stat st;
	off_t longest = 0;
	(void)state;
	snprintf(path, sizeof(path), "%s/keystore.db-wal", test_dir);
	for (int i = 0; i < 100; i++) {
		store_closep(&store);
		assert_ok(store_open(test_dir, false, &store, &e));
		char name[16];
		snprintf(name, sizeof(name), "/%d", i);
		assert_ok(insert((unsigned char)i, name));
		longest = stat(path, &st) == 0 && st.st_size > longest ? st.st_size : longest;
	}
	assert_in_range(longest, 1, 84 * 4120);
}

#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(put_and_find),  STORE_TEST(null_luks_is_no_key),
		STORE_TEST(compare_and_set), STORE_TEST(transactions),
		STORE_TEST(each_in_order), STORE_TEST(meta),
		STORE_TEST(audit_queries), STORE_TEST(hot_queries_use_an_index),
		STORE_TEST(journal_stays_short),
		KEYSTORE_TEST(a_failed_sync_that_was_stored), KEYSTORE_TEST(a_failed_sync_that_was_not_stored),
		KEYSTORE_TEST(a_disk_that_says_nothing),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
