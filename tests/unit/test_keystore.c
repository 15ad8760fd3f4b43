/* keystore: making, opening, unsealing; records and what protects them from each other. */
#include "keystore_fixture.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>

static void create_and_open(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct stat st;
	(void)state;
	assert_true(keystore_is_unsealed(ks));
	assert_string_equal(keystore_path(ks), in_dir("k"));
	assert_int_equal(stat(in_dir("k"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	static const char *const files[] = { "k/seal", "k/keystore.db", "k/keystore.db-wal", "k/keystore.db-shm" };
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(stat(in_dir(files[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	AUTOKEYSTORE struct keystore *sealed = open_sealed("k");
	assert_false(keystore_is_unsealed(sealed));
	assert_check(ks, NULL);
}

static void create_refuses(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct keystore *other = NULL;
	const struct credential c = { .type = SLOT_KEY_FILE, .key = test_key };
	(void)state;
	assert_fails(keystore_create(in_dir("k"), &c, 1, &other, &e), ERROR_EXISTS, "already");
	assert_fails(keystore_create(in_dir("n"), &c, 0, &other, &e), ERROR_USAGE, "at least one way");
	assert_int_equal(access(in_dir("n"), F_OK), -1);
	/* Not a directory of its own. */
	assert_int_equal(mkdir(in_dir("home"), 0755), 0);
	close(open(in_dir("home/precious"), O_CREAT | O_WRONLY, 0600));
	assert_fails(keystore_create(in_dir("home"), &c, 1, &other, &e), ERROR_REFUSED, "not empty");
	struct stat st;
	stat(in_dir("home"), &st);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_fails(keystore_create("etcd://a/b", &c, 1, &other, &e), ERROR_USAGE, "only a directory");
	/* An existing empty one is fine, whatever its mode. */
	assert_int_equal(mkdir(in_dir("empty"), 0755), 0);
	assert_ok(keystore_create(in_dir("empty"), &c, 1, &other, &e));
	stat(in_dir("empty"), &st);
	assert_int_equal(st.st_mode & 0777, 0700);
	keystore_free(other);
	/* Parents are made. */
	assert_ok(keystore_create(in_dir("p/q/r"), &c, 1, &other, &e));
	keystore_free(other);
}

static void failed_create_leaves_nothing(void **state)
{
	AUTOSECRET struct secret *text = NULL;
	struct keystore *ks = NULL;
	(void)state;
	assert_ok(secret_copy("no recovery key", 15, &text, &e));
	const struct credential c = { .type = SLOT_RECOVERY, .key = text };
	assert_fails(keystore_create(in_dir("k"), &c, 1, &ks, &e), ERROR_USAGE, "not a recovery key");
	assert_int_equal(access(in_dir("k"), F_OK), -1);
	const struct credential relative = { .type = SLOT_KEY_FILE, .key = text, .path = "x" };
	assert_fails(keystore_create(in_dir("k"), &relative, 1, &ks, &e), ERROR_USAGE, "must be absolute");
	assert_int_equal(access(in_dir("k"), F_OK), -1);
}

/* What a killed init can leave: a store without a seal, with or without its first row. */
static void unfinished_create_is_no_keystore(void **state)
{
	struct keystore *ks = make_keystore("k");
	const struct credential c = { .type = SLOT_KEY_FILE, .key = test_key };
	(void)state;
	keystore_free(ks);
	assert_int_equal(rename(in_dir("k/seal"), in_dir("k/seal.new")), 0);
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_NOT_FOUND, "kvmcrypt init");
	assert_ok(keystore_create(in_dir("k"), &c, 1, &ks, &e));
	assert_check(ks, NULL);
	keystore_free(ks);
	/* An empty file, as between open() and the first transaction. */
	unlink(in_dir("k/seal"));
	assert_int_equal(truncate(in_dir("k/keystore.db"), 0), 0);
	assert_ok(keystore_create(in_dir("k"), &c, 1, &ks, &e));
	/* But never one that holds records. */
	record_free(store_record(ks, "/a"));
	keystore_free(ks);
	assert_int_equal(rename(in_dir("k/seal"), in_dir("saved")), 0);
	assert_fails(keystore_create(in_dir("k"), &c, 1, &ks, &e), ERROR_REFUSED, "whose seal is missing");
	assert_int_equal(rename(in_dir("saved"), in_dir("k/seal")), 0);
	ks = open_unsealed("k");
	assert_check(ks, NULL);
	keystore_free(ks);
}

static void open_refuses(void **state)
{
	struct keystore *ks = NULL;
	(void)state;
	assert_fails(keystore_open(in_dir("none"), &ks, &e), ERROR_NOT_FOUND, "kvmcrypt init");
	keystore_free(make_keystore("k"));
	chmod(in_dir("k"), 0770);
	assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_REFUSED, "chmod 700");
	chmod(in_dir("k"), 0755);
	assert_ok(keystore_open(in_dir("k"), &ks, &e));
	keystore_free(ks);
	if (geteuid() == 0) {
		assert_int_equal(chown(in_dir("k"), 65534, 65534), 0);
		assert_fails(keystore_open(in_dir("k"), &ks, &e), ERROR_REFUSED, "belongs to user 65534");
	}
}

static void wrong_keys(void **state)
{
	AUTOSECRET struct secret *wrong = NULL;
	AUTOSECRET struct secret *one_bit = NULL;
	(void)state;
	keystore_free(make_keystore("k"));
	AUTOKEYSTORE struct keystore *ks = open_sealed("k");
	assert_ok(secret_random(64, &wrong, &e));
	assert_ok(secret_copy(test_key->data, test_key->len, &one_bit, &e));
	one_bit->data[63] ^= 1;
	assert_fails(keystore_unseal(ks, wrong, &e), ERROR_BAD_KEY, "does not open");
	assert_fails(keystore_unseal(ks, one_bit, &e), ERROR_BAD_KEY, "does not open");
	one_bit->len = 63;
	assert_fails(keystore_unseal(ks, one_bit, &e), ERROR_BAD_KEY, "does not open");
	const struct credential c = { .type = SLOT_PASSPHRASE, .key = test_key };
	assert_fails(keystore_unseal_with(ks, &c, &e), ERROR_BAD_KEY, "no slot of type 'passphrase'");
	assert_false(keystore_is_unsealed(ks));
	assert_ok(keystore_unseal(ks, test_key, &e));
	assert_true(keystore_is_unsealed(ks));
}

static void sealed_keystore_says_so(void **state)
{
	struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *r = store_record(ks, "/a");
	AUTORECORD struct record *got = NULL;
	(void)state;
	keystore_free(ks);
	ks = open_sealed("k");
	assert_fails(keystore_unseal_auto(ks, &e), ERROR_SEALED, "run `kvmcrypt unseal`");
	assert_fails(keystore_put(ks, r, "x", NULL, &e), ERROR_SEALED, "run `kvmcrypt unseal`");
	assert_fails(keystore_remove(ks, r, "x", NULL, &e), ERROR_SEALED, "unseal");
	assert_fails(keystore_reveal(ks, &r, 1, "x", NULL, &e), ERROR_SEALED, "unseal");
	assert_fails(keystore_audit(ks, "x", NULL, NULL, &e), ERROR_SEALED, "unseal");
	assert_fails(keystore_cache(ks, 0, &e), ERROR_SEALED, "unseal");
	assert_fails(keystore_remove_slot(ks, 0, &e), ERROR_SEALED, "unseal");
	assert_fails(keystore_check(ks, NULL, NULL, NULL, NULL, NULL, &e), ERROR_SEALED, "unseal");
	/* Plain fields are there all the same. */
	assert_ok(keystore_find_path(ks, "/a", &got, &e));
	assert_string_equal(got->cipher, "aes-xts-plain64");
	assert_null(got->passphrase);
	keystore_free(ks);
}

static void records_are_found(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *a = store_record(ks, "/srv/a");
	AUTORECORD struct record *b = store_record(ks, "/srv/b");
	struct record *got = NULL;
	uuid_t none;
	(void)state;
	assert_ok(keystore_get(ks, a->uuid, &got, &e));
	assert_string_equal(got->path, "/srv/a");
	record_free(got);
	assert_ok(keystore_find_path(ks, "/srv/b", &got, &e));
	assert_int_equal(uuid_compare(got->uuid, b->uuid), 0);
	record_free(got);
	assert_ok(keystore_find_luks(ks, b->luks_uuid, &got, &e));
	assert_int_equal(uuid_compare(got->uuid, b->uuid), 0);
	record_free(got);
	uuid_generate_random(none);
	assert_fails(keystore_get(ks, none, &got, &e), ERROR_NOT_FOUND, "no volume");
	assert_fails(keystore_find_path(ks, "/srv", &got, &e), ERROR_NOT_FOUND, "no volume /srv");
	assert_fails(keystore_find_luks(ks, none, &got, &e), ERROR_NOT_FOUND, "no volume");
	/* A copied image has the same LUKS UUID: no guessing which. */
	AUTORECORD struct record *copy = make_record("/srv/copy");
	uuid_copy(copy->luks_uuid, b->luks_uuid);
	assert_ok(keystore_put(ks, copy, "import", NULL, &e));
	assert_fails(keystore_find_luks(ks, b->luks_uuid, &got, &e), ERROR_FAILED, "several volumes");
}

static void reveal_and_change(void **state)
{
	struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *r = store_record(ks, "/a");
	AUTORECORD struct record *got = NULL;
	AUTORECORD struct record *again = NULL;
	(void)state;
	keystore_free(ks);
	ks = open_unsealed("k");
	assert_ok(keystore_find_path(ks, "/a", &got, &e));
	assert_fails(keystore_put(ks, got, "x", NULL, &e), ERROR_FAILED, "must be revealed");
	assert_int_equal(got->last_used, 0);
	assert_ok(keystore_reveal(ks, &got, 1, "rotate", NULL, &e));
	assert_true(secret_equal(got->passphrase, r->passphrase));
	assert_true(got->last_used > 0);
	free(got->path);
	got->path = strdup("/b");
	got->generation++;
	assert_ok(keystore_put(ks, got, "rename", "/a", &e));
	assert_int_equal(got->revision, 2);
	assert_ok(keystore_get(ks, r->uuid, &again, &e));
	assert_string_equal(again->path, "/b");
	assert_int_equal(again->generation, 2);
	assert_true(again->last_used == got->last_used);
	struct record *gone = NULL;
	assert_fails(keystore_find_path(ks, "/a", &gone, &e), ERROR_NOT_FOUND, "/a");
	assert_check(ks, NULL);
	keystore_free(ks);
}

static void compare_and_set(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *first = store_record(ks, "/a");
	AUTORECORD struct record *second = NULL;
	struct keystore_status before, after;
	(void)state;
	assert_ok(keystore_get(ks, first->uuid, &second, &e));
	assert_ok(keystore_reveal(ks, &second, 1, "update", NULL, &e));
	assert_ok(keystore_put(ks, second, "update", NULL, &e));
	assert_ok(keystore_status(ks, &before, &e));
	assert_fails(keystore_put(ks, first, "update", NULL, &e), ERROR_BUSY, "changed by another process");
	assert_int_equal(e.err, ESTALE);
	assert_fails(keystore_remove(ks, first, "erase", NULL, &e), ERROR_BUSY, "changed by another process");
	assert_fails(keystore_reveal(ks, &first, 1, "attach", NULL, &e), ERROR_BUSY, "changed by another");
	assert_int_equal(first->revision, 1);
	/* None of the three left a row. */
	assert_ok(keystore_status(ks, &after, &e));
	assert_true(before.audit_seq == after.audit_seq);
	assert_ok(keystore_remove(ks, second, "erase", NULL, &e));
	assert_fails(keystore_put(ks, second, "update", NULL, &e), ERROR_BUSY, "changed by another process");
	assert_check(ks, NULL);
}

static void paths_and_uuids_are_unique(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *a = store_record(ks, "/a");
	AUTORECORD struct record *b = store_record(ks, "/b");
	AUTORECORD struct record *other = make_record("/a");
	AUTORECORD struct record *same = make_record("/c");
	(void)state;
	assert_fails(keystore_put(ks, other, "create", NULL, &e), ERROR_EXISTS, "/a");
	assert_int_equal(other->revision, 0);
	uuid_copy(same->uuid, a->uuid);
	assert_fails(keystore_put(ks, same, "create", NULL, &e), ERROR_EXISTS, "already");
	free(b->path);
	b->path = strdup("/a");
	assert_fails(keystore_put(ks, b, "rename", NULL, &e), ERROR_EXISTS, "/a");
	assert_int_equal(b->revision, 1);
	assert_check(ks, NULL);
	/* Free again once the first is removed. */
	assert_ok(keystore_remove(ks, a, "erase", NULL, &e));
	assert_ok(keystore_put(ks, b, "rename", NULL, &e));
	assert_check(ks, NULL);
}

static void reveal_logs_each_use(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct record *r[5];
	struct keystore_status before, after;
	(void)state;
	for (int i = 0; i < 5; i++) {
		char path[16];
		snprintf(path, sizeof(path), "/v%d", i);
		r[i] = store_record(ks, path);
	}
	assert_ok(keystore_status(ks, &before, &e));
	assert_ok(keystore_reveal(ks, r, 5, "load", "all", &e));
	assert_ok(keystore_status(ks, &after, &e));
	assert_true(after.audit_seq == before.audit_seq + 5);
	assert_true(after.volumes == 5);
	/* All or none: one that was changed meanwhile stops them all, without a row. */
	AUTORECORD struct record *newer = NULL;
	assert_ok(keystore_get(ks, r[3]->uuid, &newer, &e));
	assert_ok(keystore_reveal(ks, &newer, 1, "update", NULL, &e));
	assert_ok(keystore_put(ks, newer, "update", NULL, &e));
	assert_ok(keystore_status(ks, &before, &e));
	assert_fails(keystore_reveal(ks, r, 5, "load", NULL, &e), ERROR_BUSY, "changed");
	assert_ok(keystore_status(ks, &after, &e));
	assert_true(after.audit_seq == before.audit_seq);
	for (int i = 0; i < 5; i++)
		record_free(r[i]);
	assert_check(ks, NULL);
}

struct order {
	int n;
	char last[32];
	struct keystore *ks;
};

static int in_order(void *ctx, const struct record *r)
{
	struct order *o = ctx;
	assert_true(strcmp(o->last, r->path) < 0);
	snprintf(o->last, sizeof(o->last), "%s", r->path);
	return ++o->n == 150 ? 42 : 0;
}

static int change_each(void *ctx, const struct record *r)
{
	struct order *o = ctx;
	AUTORECORD struct record *mine = NULL;
	assert_ok(keystore_get(o->ks, r->uuid, &mine, &e));
	assert_ok(keystore_reveal(o->ks, &mine, 1, "rotate", NULL, &e));
	mine->generation++;
	assert_ok(keystore_put(o->ks, mine, "rotate", NULL, &e));
	o->n++;
	return 0;
}

static void each_in_order(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct order o = { .ks = ks };
	(void)state;
	assert_ok(keystore_each(ks, in_order, &o, &e));
	assert_int_equal(o.n, 0);
	for (int i = 0; i < 100; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/v%02d", (i * 37) % 100);
		record_free(store_record(ks, path));
	}
	assert_ok(keystore_each(ks, in_order, &o, &e));
	assert_int_equal(o.n, 100);
	o.n = 149;
	o.last[0] = 0;
	assert_int_equal(keystore_each(ks, in_order, &o, &e), 42);
	/* The callback may change what it is shown: `rotate --all` does. */
	o.n = 0;
	assert_ok(keystore_each(ks, change_each, &o, &e));
	assert_int_equal(o.n, 100);
	assert_check(ks, NULL);
}

static int count(void *ctx, const struct record *r)
{
	(void)r;
	++*(int *)ctx;
	return 0;
}

static void each_survives_a_damaged_record(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	int n = 0;
	(void)state;
	record_free(store_record(ks, "/a"));
	record_free(store_record(ks, "/b"));
	record_free(store_record(ks, "/c"));
	sql("k", "UPDATE volume SET envelope = x'00' WHERE path = '/b'");
	assert_fails(keystore_each(ks, count, &n, &e), ERROR_DAMAGED, "/b");
	assert_int_equal(n, 2);
}

/* Many rows, so that one is the last of what is read at a time. */
static void each_survives_a_malformed_row(void **state)
{
	static const char *const damage[] = {
		"UPDATE volume SET uuid = 'text' || id, luks = 1.5 WHERE path IN ('/10', '/31', '/32', '/33')",
		"UPDATE volume SET path = CAST(x'2f313000' || x'61' AS TEXT) WHERE path = '/10'",
		"UPDATE volume SET path = CAST(path AS BLOB) WHERE path = '/50'",
	};
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	int n = 0;
	(void)state;
	for (int i = 10; i < 90; i++) {
		char path[16];
		snprintf(path, sizeof(path), "/%d", i);
		record_free(store_record(ks, path));
	}
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		sql("k", damage[i]);
		n = 0;
		assert_fails(keystore_each(ks, count, &n, &e), ERROR_DAMAGED, "");
		assert_in_range(n, 75, 76);
	}
}

/* ---- audit trail ---- */

struct rows {
	int n;
	uint64_t first, last;
	char actions[256];
};

static int take_row(void *ctx, const struct audit_row *row)
{
	struct rows *r = ctx;
	if (!r->n++)
		r->first = row->seq;
	r->last = row->seq;
	assert_int_equal(row->uid, getuid());
	assert_int_equal(row->pid, getpid());
	assert_true(row->when > 1700000000);
	size_t len = strlen(r->actions);
	snprintf(r->actions + len, sizeof(r->actions) - len, "%s%s%s ", row->action, row->detail ? "=" : "",
		 row->detail ? row->detail : "");
	return 0;
}

static void audit_rows(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *a = store_record(ks, "/a");
	AUTORECORD struct record *b = store_record(ks, "/b");
	struct rows r = { 0 };
	(void)state;
	assert_ok(keystore_audit(ks, "note", a->uuid, "x y", &e));
	assert_ok(keystore_reveal(ks, &a, 1, "attach", "web1", &e));
	assert_ok(keystore_remove(ks, b, "erase", NULL, &e));
	assert_ok(keystore_audit_each(ks, 0, 0, take_row, &r, &e));
	assert_string_equal(r.actions, "init create create note=x y attach=web1 erase ");
	r = (struct rows){ 0 };
	assert_ok(keystore_audit_each(ks, 5, 0, take_row, &r, &e));
	assert_string_equal(r.actions, "attach=web1 erase ");
	assert_true(r.first == 5 && r.last == 6);
	r = (struct rows){ 0 };
	assert_ok(keystore_audit_each(ks, 0, 2, take_row, &r, &e));
	assert_true(r.n == 2 && r.first == 5);
	r = (struct rows){ 0 };
	assert_ok(keystore_audit_each_of(ks, a->uuid, 0, take_row, &r, &e));
	assert_string_equal(r.actions, "create note=x y attach=web1 ");
	r = (struct rows){ 0 };
	assert_ok(keystore_audit_each_of(ks, b->uuid, 1, take_row, &r, &e));
	assert_string_equal(r.actions, "erase ");
	char big[5000];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_fails(keystore_audit(ks, "note", NULL, big, &e), ERROR_USAGE, "too long");
	assert_fails(keystore_audit(ks, "", NULL, NULL, &e), ERROR_USAGE, "audit trail");
	assert_check(ks, NULL);
}

static void noted_head(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct keystore_status st;
	struct findings f = { 0 };
	char head[128], wrong[160];
	(void)state;
	assert_ok(keystore_status(ks, &st, &e));
	snprintf(head, sizeof(head), "%llu:%s", (unsigned long long)st.audit_seq, st.audit_head);
	assert_ok(keystore_check(ks, head, NULL, NULL, NULL, NULL, &e));
	record_free(store_record(ks, "/a"));
	assert_ok(keystore_check(ks, head, NULL, NULL, NULL, NULL, &e));
	snprintf(wrong, sizeof(wrong), "%s", head);
	char *last = wrong + strlen(wrong) - 1;
	*last = *last == '0' ? '1' : '0';
	assert_fails(keystore_check(ks, wrong, note_finding, &f, NULL, NULL, &e), ERROR_DAMAGED, "1 finding");
	assert_non_null(strstr(f.text, "not the one that was noted"));
	f = (struct findings){ 0 };
	snprintf(wrong, sizeof(wrong), "9%s", head);
	assert_fails(keystore_check(ks, wrong, note_finding, &f, NULL, NULL, &e), ERROR_DAMAGED, "1 finding");
	assert_non_null(strstr(f.text, "set back to an older state"));
	static const char *const bad[] = { "", "x", "1", "1:", "0:00", ":ab", "-1:ab", "1:zz" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(keystore_check(ks, bad[i], NULL, NULL, NULL, NULL, &e), ERROR_USAGE, "SEQ:HEX");
}

static void status_of_a_keystore(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct keystore_status st;
	uuid_t id;
	(void)state;
	record_free(store_record(ks, "/a"));
	AUTOKEYSTORE struct keystore *sealed = open_sealed("k");
	assert_ok(keystore_status(sealed, &st, &e));
	assert_false(st.cached);
	assert_int_equal(uuid_parse(st.root_key_id, id), 0);
	assert_true(st.volumes == 1 && st.schema_version == 2 && st.audit_seq == 2);
	assert_int_equal(strlen(st.audit_head), 64);
}

/* ---- location ---- */

static void locations(void **state)
{
	char *path = NULL;
	(void)state;
	setenv("KVMCRYPT_KEYSTORE", "/from/env", 1);
	assert_ok(keystore_location("/from/option", &path, &e));
	assert_string_equal(path, "/from/option");
	free(path);
	assert_ok(keystore_location(NULL, &path, &e));
	assert_string_equal(path, "/from/env");
	free(path);
	setenv("KVMCRYPT_KEYSTORE", "", 1);
	setenv("XDG_DATA_HOME", "/xdg", 1);
	assert_ok(keystore_location(NULL, &path, &e));
	assert_string_equal(path, geteuid() ? "/xdg/kvmcrypt" : "/var/lib/kvmcrypt");
	free(path);
	assert_fails(keystore_location("", &path, &e), ERROR_USAGE, "empty");
	if (geteuid() == 0 && seteuid(65534) == 0) {
		assert_ok(keystore_location(NULL, &path, &e));
		assert_string_equal(path, "/xdg/kvmcrypt");
		free(path);
		setenv("XDG_DATA_HOME", "relative", 1);
		setenv("HOME", "/home/me", 1);
		assert_ok(keystore_location(NULL, &path, &e));
		assert_string_equal(path, "/home/me/.local/share/kvmcrypt");
		free(path);
		assert_int_equal(seteuid(0), 0);
	}
	unsetenv("KVMCRYPT_KEYSTORE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEYSTORE_TEST(create_and_open),
		KEYSTORE_TEST(create_refuses),
		KEYSTORE_TEST(failed_create_leaves_nothing),
		KEYSTORE_TEST(unfinished_create_is_no_keystore),
		KEYSTORE_TEST(open_refuses),
		KEYSTORE_TEST(wrong_keys),
		KEYSTORE_TEST(sealed_keystore_says_so),
		KEYSTORE_TEST(records_are_found),
		KEYSTORE_TEST(reveal_and_change),
		KEYSTORE_TEST(compare_and_set),
		KEYSTORE_TEST(paths_and_uuids_are_unique),
		KEYSTORE_TEST(reveal_logs_each_use),
		KEYSTORE_TEST(each_in_order),
		KEYSTORE_TEST(each_survives_a_damaged_record), KEYSTORE_TEST(each_survives_a_malformed_row),
		KEYSTORE_TEST(audit_rows),
		KEYSTORE_TEST(noted_head),
		KEYSTORE_TEST(status_of_a_keystore),
		cmocka_unit_test(locations),
	};
	return cmocka_run_group_tests_name("keystore", tests, NULL, NULL);
}
