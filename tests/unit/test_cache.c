/* keystore/cache: the root key in the kernel keyring. */
#include "keystore_fixture.h"

#include "keystore/cache.h"
#include "keystore/record/kdf.h"

#include <errno.h>
#include <keyutils.h>
#include <sys/wait.h>

static struct secret *root;
static uuid_t root_id;

static int setup(void **state)
{
	(void)state;
	return secret_random(ROOT_KEY_LEN, &root, &e) < 0 || kdf_root_id(root, root_id, &e) < 0;
}

static int teardown(void **state)
{
	bool was;
	(void)state;
	cache_remove(root_id, &was, NULL);
	secret_free(root);
	root = NULL;
	return 0;
}

static void put_get_remove(void **state)
{
	AUTOSECRET struct secret *got = NULL;
	bool was = true;
	(void)state;
	assert_fails(cache_get(root_id, &got, &e), ERROR_SEALED, "not in the kernel keyring");
	assert_int_equal(e.err, ENOKEY);
	assert_ok(cache_remove(root_id, &was, &e));
	assert_false(was);
	assert_ok(cache_put(root_id, root, 0, &e));
	assert_ok(cache_get(root_id, &got, &e));
	assert_true(secret_equal(got, root));
	assert_ok(cache_put(root_id, root, 0, &e));
	assert_ok(cache_remove(root_id, &was, &e));
	assert_true(was);
	secret_free(TAKE_PTR(got));
	assert_fails(cache_get(root_id, &got, &e), ERROR_SEALED, "not in the kernel keyring");
	assert_ok(cache_put(root_id, root, 0, &e));
	assert_ok(cache_get(root_id, &got, &e));
}

static key_serial_t find_key(void)
{
	char id[UUID_STR_LEN], description[64];
	uuid_unparse_lower(root_id, id);
	snprintf(description, sizeof(description), "kvmcrypt:%s", id);
	return (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, "user", description, 0);
}

static void removed_key_is_gone_for_its_readers(void **state)
{
	char buf[64];
	bool was;
	(void)state;
	assert_ok(cache_put(root_id, root, 0, &e));
	key_serial_t key = find_key();
	assert_int_equal(keyctl_read(key, buf, sizeof(buf)), ROOT_KEY_LEN);
	assert_ok(cache_remove(root_id, &was, &e));
	assert_int_equal(keyctl_read(key, buf, sizeof(buf)), -1);
}

static void times_out(void **state)
{
	AUTOSECRET struct secret *got = NULL;
	(void)state;
	assert_ok(cache_put(root_id, root, 3600, &e));
	assert_ok(cache_get(root_id, &got, &e));
	secret_free(TAKE_PTR(got));
	assert_ok(cache_put(root_id, root, 1, &e));
	for (int i = 0; i < 60 && cache_get(root_id, &got, &e) == 0; i++) {
		secret_free(TAKE_PTR(got));
		sleep(1);
	}
	assert_fails(cache_get(root_id, &got, &e), ERROR_SEALED, "not in the kernel keyring");
	/* An expired one is replaced, and a new timeout too. */
	assert_ok(cache_put(root_id, root, 1, &e));
	assert_ok(cache_put(root_id, root, 0, &e));
	sleep(2);
	assert_ok(cache_get(root_id, &got, &e));
	assert_fails(cache_put(root_id, root, 1ull << 33, &e), ERROR_USAGE, "too long");
}

/* A systemd unit or an ssh session may have a session keyring that does not link @u. */
static void found_without_possession(void **state)
{
	int status = -1;
	(void)state;
	assert_ok(cache_put(root_id, root, 0, &e));
	pid_t pid = fork();
	if (pid == 0) {
		AUTOSECRET struct secret *got = NULL;
		bool was;
		if (keyctl_join_session_keyring(NULL) < 0)
			_exit(2);
		if (cache_get(root_id, &got, NULL) < 0)
			_exit(3);
		if (cache_put(root_id, got, 0, NULL) < 0)
			_exit(4);
		_exit(cache_remove(root_id, &was, NULL) < 0 || !was ? 5 : 0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	struct secret *got = NULL;
	assert_fails(cache_get(root_id, &got, &e), ERROR_SEALED, "not in");
}

static void other_users_do_not_see_it(void **state)
{
	int status = -1;
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_ok(cache_put(root_id, root, 0, &e));
	key_serial_t key = find_key();
	pid_t pid = fork();
	if (pid == 0) {
		AUTOSECRET struct secret *got = NULL;
		char buf[64];
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		keyctl_join_session_keyring(NULL);
		if (cache_get(root_id, &got, NULL) == 0)
			_exit(3);
		_exit(keyctl_read(key, buf, sizeof(buf)) >= 0 ? 4 : 0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* Whoever runs as this user can put anything there: it has to be this very key. */
static void a_planted_key_is_not_taken(void **state)
{
	struct secret *got = NULL;
	char id[UUID_STR_LEN], description[64], junk[40] = "junk";
	(void)state;
	uuid_unparse_lower(root_id, id);
	snprintf(description, sizeof(description), "kvmcrypt:%s", id);
	static const size_t lengths[] = { 1, 31, 32, 33, 40 };
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		assert_true(add_key("user", description, junk, lengths[i], KEY_SPEC_USER_KEYRING) > 0);
		assert_fails(cache_get(root_id, &got, &e), ERROR_SEALED, "not in the kernel keyring");
	}
	assert_ok(cache_put(root_id, root, 0, &e));
	assert_ok(cache_get(root_id, &got, &e));
	secret_free(got);
}

static bool is_cached(struct keystore *ks)
{
	bool cached = false;
	assert_ok(keystore_is_cached(ks, &cached, &e));
	return cached;
}

/* What lies in the keyring is not the key; one that lies there whole, from an older version, is understood. */
static void half_of_it_is_in_the_keyring(void **state)
{
	AUTOSECRET struct secret *fresh = NULL;
	AUTOSECRET struct secret *again = NULL;
	struct error why = { 0 };
	char description[64] = "kvmcrypt:", seen[ROOT_KEY_LEN];
	uuid_t id;
	bool was;
	(void)state;
	assert_int_equal(secret_random(ROOT_KEY_LEN, &fresh, &why), 0);
	assert_int_equal(kdf_root_id(fresh, id, &why), 0);
	uuid_unparse_lower(id, description + strlen(description));
	assert_int_equal(cache_put(id, fresh, 0, &why), 0);
	long key = keyctl_search(KEY_SPEC_USER_KEYRING, "user", description, 0);
	assert_int_equal(keyctl_read((key_serial_t)key, seen, sizeof(seen)), ROOT_KEY_LEN);
	assert_memory_not_equal(seen, fresh->data, ROOT_KEY_LEN);
	assert_true(add_key("user", description, fresh->data, ROOT_KEY_LEN, KEY_SPEC_USER_KEYRING) > 0);
	assert_int_equal(cache_get(id, &again, &why), 0);
	assert_true(secret_equal(fresh, again));
	assert_int_equal(cache_remove(id, &was, &why), 0);
	assert_true(was);
}

static void a_keystore_uses_it(void **state)
{
	bool was = false;
	(void)state;
	setup_dir(state);
	struct keystore *ks = make_keystore("k");
	assert_false(is_cached(ks));
	assert_ok(keystore_cache(ks, 60, &e));
	assert_true(is_cached(ks));
	keystore_free(ks);
	/* The seal is not even looked at. */
	assert_int_equal(truncate(in_dir("k/seal"), 10), 0);
	ks = open_sealed("k");
	assert_ok(keystore_unseal_auto(ks, &e));
	assert_ok(keystore_uncache(ks, &was, &e));
	assert_true(was);
	assert_false(is_cached(ks));
	/* This process still has its copy. */
	assert_true(keystore_is_unsealed(ks));
	keystore_free(ks);
	forget_key(state);
}

#define CACHE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(put_get_remove),	   CACHE_TEST(removed_key_is_gone_for_its_readers),
		CACHE_TEST(times_out),		   CACHE_TEST(found_without_possession),
		CACHE_TEST(other_users_do_not_see_it), CACHE_TEST(a_planted_key_is_not_taken),
		CACHE_TEST(half_of_it_is_in_the_keyring),
		CACHE_TEST(a_keystore_uses_it),
	};
	bool was;
	/* A container may forbid keyrings: then there is nothing here to test. */
	if (cache_remove(root_id, &was, &e) < 0) {
		printf("1..0 # SKIP %s\nskip - %s\n", e.message, e.message);
		return 0;
	}
	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
