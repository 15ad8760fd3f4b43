/* Keystores for tests: made with a key file's key, since that costs milliseconds. */
#ifndef TESTS_UNIT_KEYSTORE_FIXTURE_H
#define TESTS_UNIT_KEYSTORE_FIXTURE_H

#include "fixture.h"

#include "keystore/keystore.h"

#include <sqlite3.h>

static struct error e;
static struct secret *test_key;	/* what unseals every keystore of this test */

static inline struct keystore *make_keystore(const char *name)
{
	struct keystore *ks = NULL;
	if (!test_key)
		assert_ok(secret_random(64, &test_key, &e));
	const struct credential c = { .type = SLOT_KEY_FILE, .key = test_key };
	assert_ok(keystore_create(in_dir(name), &c, 1, &ks, &e));
	return ks;
}

static inline struct keystore *open_sealed(const char *name)
{
	struct keystore *ks = NULL;
	assert_ok(keystore_open(in_dir(name), &ks, &e));
	return ks;
}

static inline struct keystore *open_unsealed(const char *name)
{
	struct keystore *ks = open_sealed(name);
	assert_ok(keystore_unseal(ks, test_key, &e));
	return ks;
}

/* A record with everything in it, not stored yet. */
static inline struct record *make_record(const char *path)
{
	struct record *r = NULL;
	uuid_t domain;
	assert_ok(record_new(&r, &e));
	r->path = strdup(path);
	r->header_path = strdup("/hdr");
	r->format = RECORD_FORMAT_QCOW2;
	r->size = 20ull << 30;
	r->luks_version = 1;
	uuid_generate_random(r->luks_uuid);
	memset(r->digest, 0xd1, 20);
	r->digest_len = 20;
	strcpy(r->cipher, "aes-xts-plain64");
	r->key_bits = 512;
	r->sector_size = 512;
	r->geometry.header_offset = 65536;
	r->geometry.data_offset = 2097152;
	r->geometry.digest_iterations = 1000;
	memset(r->geometry.digest_salt, 0x5a, sizeof(r->geometry.digest_salt));
	uuid_generate_random(domain);
	assert_ok(record_add_domain(r, domain, "web1", "vda", &e));
	assert_ok(secret_generate_passphrase(&r->passphrase, &e));
	assert_ok(secret_random(64, &r->volume_key, &e));
	return r;
}

static inline struct record *store_record(struct keystore *ks, const char *path)
{
	struct record *r = make_record(path);
	assert_ok(keystore_put(ks, r, "create", NULL, &e));
	return r;
}

/* SQL against the store, past all of our code: what an attacker with the file would do. */
static inline void sql(const char *name, const char *text)
{
	sqlite3 *db = NULL;
	char path[300], *why = NULL;
	snprintf(path, sizeof(path), "%s/%s/keystore.db", test_dir, name);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", text, why);
	sqlite3_close(db);
}

struct findings {
	int n;
	char text[8192];
};

static inline void note_finding(void *ctx, const char *finding)
{
	struct findings *f = ctx;
	size_t len = strlen(f->text);
	f->n++;
	snprintf(f->text + len, sizeof(f->text) - len, "%s\n", finding);
}

/* The check passes, or it fails and some finding has this text in it (NULL: has to pass). */
static inline void assert_check(struct keystore *ks, const char *want)
{
	struct findings f = { 0 };
	int r = keystore_check(ks, NULL, note_finding, &f, NULL, NULL, &e);
	if (!want && (r < 0 || f.n))
		fail_msg("check: %d, %s\n%s", r, e.message, f.text);
	if (want && (r >= 0 || e.kind != ERROR_DAMAGED || !f.n || !strstr(f.text, want)))
		fail_msg("check: %d, no finding has '%s'\n%s", r, want, f.text);
}

static inline int forget_key(void **state)
{
	secret_free(test_key);
	test_key = NULL;
	return teardown_dir(state);
}

#define KEYSTORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_dir, forget_key)

#endif
