/* keystore_check: whatever somebody with the files changes is found. */
#include "keystore_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>

/* The state before the last changes, in another database, for putting parts of it back. */

static void sql_with_old(const char *what)
{
	char text[1024];
	snprintf(text, sizeof(text), "ATTACH '%s' AS old; %s", in_dir("old.db"), what);
	sql("k", text);
}

static void copy_file(const char *from, const char *to)
{
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(in >= 0 && out >= 0);
	fstat(in, &st);
	assert_int_equal(sendfile(out, in, NULL, (size_t)st.st_size), st.st_size);
	close(in);
	close(out);
}

/*
 * /a at revision 2 and used, /b and /c at revision 1, /gone removed. old.db: before the last
 * four rows. Rows: 1 init, 2-5 create, 6 use, 7 update /a, 8 erase /gone, 9 note.
 */
static int setup(void **state)
{
	setup_dir(state);
	struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *a = store_record(ks, "/a");
	AUTORECORD struct record *gone = NULL;
	record_free(store_record(ks, "/b"));
	record_free(store_record(ks, "/c"));
	gone = store_record(ks, "/gone");
	sql_with_old("CREATE TABLE old.volume AS SELECT * FROM volume; CREATE TABLE old.audit AS SELECT * FROM audit; "
		     "CREATE TABLE old.meta AS SELECT * FROM meta; CREATE TABLE old.tree AS SELECT * FROM tree");
	assert_ok(keystore_reveal(ks, &a, 1, "attach", "web1", &e));
	assert_ok(keystore_put(ks, a, "update", NULL, &e));
	assert_ok(keystore_remove(ks, gone, "erase", NULL, &e));
	assert_ok(keystore_audit(ks, "note", NULL, "last row", &e));
	assert_check(ks, NULL);
	keystore_free(ks);
	return 0;
}

static void tamper(const char *how, const char *want)
{
	void *state = NULL;
	sql_with_old(how);
	struct keystore *ks = open_sealed("k");
	keystore_tolerate(ks);
	assert_ok(keystore_unseal(ks, test_key, &e));
	struct findings f = { 0 };
	int r = keystore_check(ks, NULL, note_finding, &f, NULL, NULL, &e);
	if (r >= 0 || e.kind != ERROR_DAMAGED || !strstr(f.text, want))
		fail_msg("%s: %d, no finding has '%s'\n%s", how, r, want, f.text);
	keystore_free(ks);
	forget_key(&state);
	setup(&state);
}

static void columns_of_a_record(void **state)
{
	(void)state;
	tamper("UPDATE volume SET uuid = randomblob(16) WHERE path = '/a'", "is not that of its record");
	tamper("UPDATE volume SET path = '/x' WHERE path = '/a'", "is not that of its record");
	tamper("UPDATE volume SET luks = randomblob(16) WHERE path = '/a'", "is not that of its record");
	tamper("UPDATE volume SET luks = NULL WHERE path = '/a'", "is not that of its record");
	tamper("UPDATE volume SET revision = 7 WHERE path = '/a'", "is not that of its record");
	tamper("UPDATE volume SET last_used = last_used + 1 WHERE path = '/a'", "time of last use");
	tamper("UPDATE volume SET last_used = 5 WHERE path = '/b'", "time of last use");
	tamper("UPDATE volume SET last_used = 0 WHERE path = '/a'", "time of last use");
	tamper("UPDATE volume SET envelope = randomblob(length(envelope)) WHERE path = '/a'", "not a record");
	tamper("UPDATE volume SET envelope = x'' WHERE path = '/a'", "not a record");
}

static void types_of_columns(void **state)
{
	(void)state;
	tamper("UPDATE volume SET uuid = 'text' WHERE path = '/a'", "malformed");
	tamper("UPDATE volume SET uuid = x'00' WHERE path = '/a'", "malformed");
	tamper("UPDATE volume SET path = x'2f61' WHERE path = '/a'", "malformed");
	tamper("UPDATE volume SET revision = 'two' WHERE path = '/a'", "malformed");
	tamper("UPDATE volume SET last_used = 'x' WHERE path = '/a'", "malformed");
	tamper("UPDATE volume SET envelope = 'text' WHERE path = '/a'", "malformed");
	tamper("UPDATE audit SET mac = 'text' WHERE seq = 3", "malformed");
	tamper("UPDATE audit SET action = CAST(action AS BLOB) WHERE seq = 3", "malformed");
	tamper("UPDATE audit SET action = action || char(0) || 'x' WHERE seq = 3", "malformed");
	tamper("UPDATE audit SET time = 'x' WHERE seq = 3", "malformed");
	tamper("UPDATE audit SET uid = -1 WHERE seq = 3", "malformed");
	tamper("UPDATE audit SET hash = x'00' WHERE seq = 3", "malformed");
	tamper("UPDATE meta SET value = 'text' WHERE name = 'audit_head'", "'audit_head' is malformed");
}

/* The plain part in the envelope, where `list` reads it. */
static void plain_part_of_a_record(void **state)
{
	(void)state;
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_open(in_dir("k/keystore.db"), &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT envelope FROM volume WHERE path = '/a'", -1, &st, NULL);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	size_t len = (size_t)sqlite3_column_bytes(st, 0);
	unsigned char *bytes = malloc(len);
	memcpy(bytes, sqlite3_column_blob(st, 0), len);
	sqlite3_finalize(st);
	unsigned char *cipher = memmem(bytes, len, "xts-plain64", 11);
	assert_non_null(cipher);
	memcpy(cipher, "cbc-plain64", 11);
	sqlite3_prepare_v2(db, "UPDATE volume SET envelope = ?1 WHERE path = '/a'", -1, &st, NULL);
	sqlite3_bind_blob(st, 1, bytes, (int)len, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	sqlite3_close(db);
	free(bytes);
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	struct record *r = NULL;
	assert_check(ks, "/a was changed or damaged");
	assert_fails(keystore_find_path(ks, "/a", &r, &e), ERROR_DAMAGED, "was changed or damaged");
}

static void rows_of_records(void **state)
{
	(void)state;
	/* The sealed parts of two rows exchanged. */
	tamper("UPDATE volume SET envelope = (SELECT envelope FROM volume WHERE path = '/b') WHERE path = '/a'",
	       "is not that of its record");
	/* Paths exchanged. */
	tamper("UPDATE volume SET path = '/tmp' WHERE path = '/a'; UPDATE volume SET path = '/a' WHERE path = '/b'; "
	       "UPDATE volume SET path = '/b' WHERE path = '/tmp'", "is not that of its record");
	tamper("DELETE FROM volume WHERE path = '/b'", "is gone, but row 3");
	tamper("DELETE FROM volume", "is gone");
	tamper("INSERT INTO volume(uuid, path, luks, revision, last_used, envelope) "
	       "SELECT randomblob(16), '/d', luks, revision, 0, envelope FROM volume WHERE path = '/b'",
	       "is not that of its record");
	/* Genuine, but older. */
	tamper("DELETE FROM volume WHERE path = '/a'; INSERT INTO volume SELECT * FROM old.volume WHERE path = '/a'",
	       "an older one was put back");
	/* Genuine, but removed. */
	tamper("INSERT INTO volume SELECT * FROM old.volume WHERE path = '/gone'", "an older one was put back");
}

static void columns_of_the_trail(void **state)
{
	(void)state;
	tamper("UPDATE audit SET time = time - 1 WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET uid = uid + 1 WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET pid = pid + 1 WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET kind = 1 WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET action = 'detach' WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET volume = NULL WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET volume = (SELECT uuid FROM volume WHERE path = '/b') WHERE seq = 6",
	       "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET detail = 'web2' WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET detail = NULL WHERE seq = 6", "row 6 of the audit trail was changed");
	tamper("UPDATE audit SET detail = '' WHERE seq = 1", "row 1 of the audit trail was changed");
	tamper("UPDATE audit SET revision = 1 WHERE seq = 7", "row 7 of the audit trail was changed");
	tamper("UPDATE audit SET revision = NULL WHERE seq = 7", "row 7 of the audit trail was changed");
	tamper("UPDATE audit SET hash = randomblob(32) WHERE seq = 7", "row 7 of the audit trail was changed");
	tamper("UPDATE audit SET mac = randomblob(32) WHERE seq = 6", "row 6 of the audit trail was changed");
	/* Text moved from one column to the next. */
	tamper("UPDATE audit SET action = 'notelast row', detail = '' WHERE seq = 9",
	       "row 9 of the audit trail was changed");
	char big[300];
	snprintf(big, sizeof(big), "UPDATE audit SET action = '%0*d' WHERE seq = 6", 200, 0);
	tamper(big, "row 6 of the audit trail is too long");
}

static void rows_of_the_trail(void **state)
{
	(void)state;
	tamper("DELETE FROM audit WHERE seq = 6", "has a gap: row 7 follows row 5");
	tamper("DELETE FROM audit WHERE seq = 1", "has a gap: row 2 follows row 0");
	tamper("DELETE FROM audit WHERE seq = 9", "ends with row 8, its head names row 9");
	tamper("DELETE FROM audit", "ends with row 0, its head names row 9");
	/* The gap closed by renumbering. */
	tamper("DELETE FROM audit WHERE seq = 6; UPDATE audit SET seq = seq - 1 WHERE seq > 6",
	       "row 6 of the audit trail was changed");
	/* Two rows exchanged. */
	tamper("UPDATE audit SET seq = 100 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = 7; "
	       "UPDATE audit SET seq = 7 WHERE seq = 100", "row 6 of the audit trail was changed");
	/* A row repeated at the end. */
	tamper("INSERT INTO audit SELECT 10, time, uid, pid, kind, action, volume, detail, revision, hash, mac "
	       "FROM audit WHERE seq = 9", "row 10 of the audit trail was changed");
}

static void head_of_the_trail(void **state)
{
	(void)state;
	tamper("UPDATE meta SET value = randomblob(144) WHERE name = 'audit_head'",
	       "head of the audit trail was changed");
	tamper("DELETE FROM meta WHERE name = 'audit_head'", "lacks 'audit_head'");
	tamper("UPDATE meta SET value = x'00' WHERE name = 'audit_head'", "malformed");
	tamper("UPDATE meta SET value = CAST(substr(value, 1, 40) || x'ffffffffffffffff' || substr(value, 49) AS BLOB) "
	       "WHERE name = 'audit_head'",
	       "head of the audit trail was changed");
	/* The genuine head of an earlier time. */
	tamper("UPDATE meta SET value = (SELECT value FROM old.meta WHERE name = 'audit_head') "
	       "WHERE name = 'audit_head'", "ends with row 9, its head names row 5");
	/* Its kind that an older kvmcrypt had. */
	tamper("UPDATE meta SET value = randomblob(80) WHERE name = 'audit_head'",
	       "head of the audit trail was changed");
	/* And the rows behind it removed too: the records still tell. */
	tamper("UPDATE meta SET value = (SELECT value FROM old.meta WHERE name = 'audit_head') "
	       "WHERE name = 'audit_head'; DELETE FROM audit WHERE seq > 5",
	       "what tells the newest records does not fit");
	/* And all that tells the newest records, but not the records. */
	tamper("UPDATE meta SET value = (SELECT value FROM old.meta WHERE name = 'audit_head') WHERE name = "
	       "'audit_head'; DELETE FROM audit WHERE seq > 5; DELETE FROM tree; INSERT INTO tree SELECT * FROM "
	       "old.tree",
	       "an older one was put back");
}

/* All of it set back is a genuine older keystore; only a head noted elsewhere can tell. */
static void everything_set_back(void **state)
{
	struct keystore_status st;
	char head[128];
	(void)state;
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	assert_ok(keystore_status(ks, &st, &e));
	snprintf(head, sizeof(head), "%llu:%s", (unsigned long long)st.audit_seq, st.audit_head);
	assert_ok(keystore_check(ks, head, NULL, NULL, NULL, NULL, &e));
	sql_with_old("DELETE FROM volume; INSERT INTO volume SELECT * FROM old.volume; DELETE FROM audit; "
		     "INSERT INTO audit SELECT * FROM old.audit; DELETE FROM meta; INSERT INTO meta SELECT * FROM "
		     "old.meta; DELETE FROM tree; INSERT INTO tree SELECT * FROM old.tree");
	assert_check(ks, NULL);
	struct findings f = { 0 };
	assert_fails(keystore_check(ks, head, note_finding, &f, NULL, NULL, &e), ERROR_DAMAGED, "1 finding");
	assert_non_null(strstr(f.text, "set back to an older state"));
}

static void uuid_of(const char *path, uuid_t ret)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_open(in_dir("old.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT uuid FROM volume WHERE path = ?1", -1, &st, NULL), SQLITE_OK);
	sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	memcpy(ret, sqlite3_column_blob(st, 0), sizeof(uuid_t));
	sqlite3_finalize(st);
	sqlite3_close(db);
}

/* Use does not wait for a check: a record that was put back is refused when its key is wanted. */
static void replayed_record_is_not_used(void **state)
{
	struct record *r = NULL;
	(void)state;
	AUTOKEYSTORE struct keystore *sealed = open_sealed("k");
	sql_with_old("DELETE FROM volume WHERE path = '/a'; "
		     "INSERT INTO volume SELECT * FROM old.volume WHERE path IN ('/a', '/gone')");
	assert_ok(keystore_find_path(sealed, "/a", &r, &e));
	assert_ok(keystore_unseal(sealed, test_key, &e));
	assert_fails(keystore_reveal(sealed, &r, 1, "attach", NULL, &e), ERROR_DAMAGED, "older one was put back");
	assert_null(r->passphrase);
	record_free(r);
	r = NULL;
	assert_fails(keystore_find_path(sealed, "/gone", &r, &e), ERROR_DAMAGED, "older one was put back");
	/* Nor one whose row in the trail was made to fit. */
	sql("k", "UPDATE audit SET revision = 1, hash = (SELECT hash FROM audit WHERE seq = 2) WHERE seq = 7");
	assert_fails(keystore_find_path(sealed, "/a", &r, &e), ERROR_DAMAGED, "older one was put back");
	/* One that is gone is not "none". */
	sql("k", "DELETE FROM volume WHERE path = '/b'");
	uuid_t b;
	uuid_of("/b", b);
	assert_fails(keystore_get(sealed, b, &r, &e), ERROR_DAMAGED, "was stored and is gone");
	uuid_generate_random(b);
	assert_fails(keystore_get(sealed, b, &r, &e), ERROR_NOT_FOUND, "no volume");
	/* Nor is what proves it to be had otherwise than it was stored. */
	sql("k", "UPDATE tree SET node = x'00' WHERE place = 1");
	assert_fails(keystore_find_path(sealed, "/c", &r, &e), ERROR_DAMAGED, "what tells the newest records");
	sql("k", "DELETE FROM tree");
	assert_fails(keystore_find_path(sealed, "/c", &r, &e), ERROR_DAMAGED, "what tells the newest records");
	assert_fails(keystore_get(sealed, b, &r, &e), ERROR_DAMAGED, "what tells the newest records");
}

static void a_damaged_trail_takes_no_more_rows(void **state)
{
	(void)state;
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	sql("k", "UPDATE meta SET value = randomblob(144) WHERE name = 'audit_head'");
	assert_fails(keystore_audit(ks, "x", NULL, NULL, &e), ERROR_DAMAGED, "run `kvmcrypt keystore check`");
}

/* Whatever happened to rows, head, record versions or the seal, a repair ends in a store that works. */
static void repaired(void **state)
{
	static const char *const damage[] = {
		"UPDATE meta SET value = randomblob(144) WHERE name = 'audit_head'",
		"UPDATE meta SET value = x'00' WHERE name = 'audit_head'",
		"UPDATE audit SET detail = 'x' WHERE seq = 3",
		"UPDATE audit SET mac = randomblob(32) WHERE seq = 1",
		"DELETE FROM audit WHERE seq IN (2, 4)",
		"DELETE FROM audit WHERE seq > 4",
		"UPDATE audit SET hash = randomblob(32) WHERE kind = 3",
		"UPDATE audit SET seq = 40 WHERE seq = 5",
		"DELETE FROM volume WHERE path = '/b'",
		"UPDATE volume SET last_used = 7",
		"DELETE FROM audit WHERE kind = 5",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		struct keystore *ks = make_keystore("k");
		struct record *a = store_record(ks, "/a"), *b = store_record(ks, "/b");
		assert_ok(keystore_reveal(ks, &a, 1, "attach", NULL, &e));
		a->generation++;
		assert_ok(keystore_put(ks, a, "rotate", NULL, &e));
		sql("k", damage[i]);
		struct findings f = { 0 };
		assert_true(keystore_check(ks, NULL, note_finding, &f, NULL, NULL, &e) < 0);
		AUTOFREE char *detail = NULL;
		assert_ok(keystore_repair(ks, &detail, &e));
		assert_non_null(detail);
		assert_check(ks, NULL);
		AUTORECORD struct record *found = NULL;
		assert_ok(keystore_find_path(ks, "/a", &found, &e));
		assert_ok(keystore_reveal(ks, &found, 1, "attach", NULL, &e));
		found->generation++;
		assert_ok(keystore_put(ks, found, "rotate", NULL, &e));
		assert_check(ks, NULL);
		record_free(a);
		record_free(b);
		keystore_free(ks);
		assert_int_equal(forget_key(NULL), 0);
		setup_dir(NULL);
	}
}

/* A row whose number is far off is no gap to be filled, and then nothing is changed at all. */
static void beyond_repair(void **state)
{
	(void)state;
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	record_free(store_record(ks, "/a"));
	sql("k", "UPDATE audit SET seq = 1 << 40 WHERE seq = 2; UPDATE audit SET mac = randomblob(32) WHERE seq = 1");
	assert_fails(keystore_repair(ks, NULL, &e), ERROR_DAMAGED, "too much is missing");
	assert_check(ks, "row 1 of the audit trail was changed");
}

static void foreign_root_key(void **state)
{
	(void)state;
	struct keystore *other = make_keystore("other");
	keystore_free(other);
	/* Sealed records of this store, seal of the other; opened by the same key file. */
	copy_file(in_dir("k/seal"), in_dir("saved"));
	copy_file(in_dir("other/seal"), in_dir("k/seal"));
	AUTOKEYSTORE struct keystore *ks = open_sealed("k");
	assert_fails(keystore_unseal(ks, test_key, &e), ERROR_DAMAGED, "do not belong together");
	/* Swapped while this process has the root key. */
	copy_file(in_dir("saved"), in_dir("k/seal"));
	assert_ok(keystore_unseal(ks, test_key, &e));
	copy_file(in_dir("other/seal"), in_dir("k/seal"));
	assert_check(ks, "the seal is that of another keystore");
	copy_file(in_dir("saved"), in_dir("k/seal"));
	assert_check(ks, NULL);
	sql("k", "UPDATE meta SET value = randomblob(16) WHERE name = 'root_key_id'");
	AUTOKEYSTORE struct keystore *again = NULL;
	assert_fails(keystore_open(in_dir("k"), &again, &e), ERROR_REFUSED, "root key");
}

static void older_seal(void **state)
{
	AUTOSECRET struct secret *second = NULL;
	int slot = -1;
	(void)state;
	assert_ok(secret_random(32, &second, &e));
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	const struct credential c = { .type = SLOT_KEY_FILE, .key = second };
	assert_ok(keystore_add_slot(ks, &c, &slot, &e));
	copy_file(in_dir("k/seal"), in_dir("saved"));
	assert_ok(keystore_remove_slot(ks, slot, &e));
	assert_check(ks, NULL);
	/* The removed way to unseal comes back with the old file. */
	copy_file(in_dir("saved"), in_dir("k/seal"));
	assert_check(ks, "the seal is not the one that was stored last");
}

static void damaged_seal(void **state)
{
	(void)state;
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	int fd = open(in_dir("k/seal"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 500000), 1);
	close(fd);
	/* Key material that is damaged opens nothing, and changes nothing of what the seal says. */
	assert_check(ks, NULL);
	assert_int_equal(truncate(in_dir("k/seal"), 100), 0);
	assert_check(ks, "the seal is damaged");
}

static void refused_on_open(const char *how, const char *want)
{
	void *state = NULL;
	struct keystore *ks = NULL;
	sql("k", how);
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_DAMAGED, want);
	forget_key(&state);
	setup(&state);
}

static void foreign_schema(void **state)
{
	struct keystore *ks = NULL;
	(void)state;
	refused_on_open("CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM volume; END",
			"foreign or changed 't'");
	refused_on_open("CREATE TABLE extra(x)", "foreign or changed 'extra'");
	refused_on_open("CREATE VIEW v AS SELECT * FROM volume", "foreign or changed 'v'");
	refused_on_open("DROP INDEX volume_path", "missing");
	refused_on_open("DROP INDEX volume_path; CREATE INDEX volume_path ON volume(path)", "changed 'volume_path'");
	refused_on_open("DROP TABLE audit", "missing");
	refused_on_open("PRAGMA application_id = 5", "not a kvmcrypt keystore");
	refused_on_open("PRAGMA user_version = 0", "not a kvmcrypt keystore");
	sql("k", "PRAGMA user_version = 3");
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_FAILED, "newer kvmcrypt");
}

static void no_database_at_all(void **state)
{
	struct keystore *ks = NULL;
	(void)state;
	int fd = open(in_dir("k/keystore.db"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "this is not a database, far from it", 35, 0), 35);
	close(fd);
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_DAMAGED, "not a database");
	assert_int_equal(truncate(in_dir("k/keystore.db"), 0), 0);
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_DAMAGED, "not a kvmcrypt keystore");
	unlink(in_dir("k/keystore.db"));
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_FAILED, "keystore.db");
	/* A link to elsewhere is not followed. */
	assert_int_equal(symlink("/dev/null", in_dir("k/keystore.db")), 0);
	assert_true(keystore_open(in_dir("k"), &ks, &e) < 0);
}

#define TAMPER_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, forget_key)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(columns_of_a_record),
		TAMPER_TEST(types_of_columns),
		TAMPER_TEST(plain_part_of_a_record),
		TAMPER_TEST(rows_of_records),
		TAMPER_TEST(columns_of_the_trail),
		TAMPER_TEST(rows_of_the_trail),
		TAMPER_TEST(head_of_the_trail),
		TAMPER_TEST(everything_set_back),
		TAMPER_TEST(replayed_record_is_not_used),
		TAMPER_TEST(a_damaged_trail_takes_no_more_rows),
		KEYSTORE_TEST(repaired),
		KEYSTORE_TEST(beyond_repair),
		TAMPER_TEST(foreign_root_key),
		TAMPER_TEST(older_seal),
		TAMPER_TEST(damaged_seal),
		TAMPER_TEST(foreign_schema),
		TAMPER_TEST(no_database_at_all),
	};
	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
