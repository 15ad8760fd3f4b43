/* keystore/seal: slots, what opens them, and changes that are interrupted. */
#include "keystore_fixture.h"

#include "keystore/record/kdf.h"
#include "keystore/seal/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

static struct secret *text_secret(const char *text)
{
	struct secret *s = NULL;
	assert_ok(secret_copy(text, strlen(text), &s, &e));
	return s;
}

static int add(struct keystore *ks, enum slot_type type, const struct secret *key, const char *path,
	       const char *label)
{
	const struct credential c = { .type = type, .key = key, .path = path, .label = label };
	int slot = -1;
	assert_ok(keystore_add_slot(ks, &c, &slot, &e));
	return slot;
}

static size_t count_slots(struct keystore *ks)
{
	struct slot *slots = NULL;
	size_t n = 0;
	assert_ok(keystore_slots(ks, &slots, &n, &e));
	slots_free(slots, n);
	return n;
}

static void every_type_opens(void **state)
{
	const time_t began = time(NULL);
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *passphrase = text_secret("correct horse");
	AUTOSECRET struct secret *recovery = NULL;
	AUTOSECRET struct secret *weak = text_secret("short file");
	struct slot *slots = NULL;
	size_t n = 0;
	(void)state;
	assert_ok(keystore_generate_recovery(&recovery, &e));
	assert_int_equal(add(ks, SLOT_PASSPHRASE, passphrase, NULL, "me"), 1);
	assert_int_equal(add(ks, SLOT_RECOVERY, recovery, NULL, NULL), 2);
	assert_int_equal(add(ks, SLOT_KEY_FILE, weak, "/etc/weak", "a \"label\" \xc3\xa9"), 3);
	assert_ok(keystore_slots(ks, &slots, &n, &e));
	assert_int_equal(n, 4);
	assert_int_equal(slots[1].type, SLOT_PASSPHRASE);
	assert_string_equal(slots[1].label, "me");
	assert_null(slots[1].path);
	assert_int_equal(slots[2].type, SLOT_RECOVERY);
	assert_null(slots[2].label);
	assert_int_equal(slots[3].type, SLOT_KEY_FILE);
	assert_string_equal(slots[3].path, "/etc/weak");
	assert_string_equal(slots[3].label, "a \"label\" \xc3\xa9");
	for (size_t i = 0; i < n; i++)
		assert_true(slots[i].created >= began && slots[i].created <= time(NULL));
	slots_free(slots, n);

	const struct secret *keys[] = { passphrase, recovery, test_key };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		AUTOKEYSTORE struct keystore *k = open_sealed("k");
		assert_ok(keystore_unseal(k, keys[i], &e));
	}
	/* Lower case, no dashes: still the recovery key. */
	for (size_t i = 0; i < recovery->len; i++)
		recovery->data[i] = recovery->data[i] == '-' ? ' ' : recovery->data[i] | 0x20;
	AUTOKEYSTORE struct keystore *k = open_sealed("k");
	assert_ok(keystore_unseal(k, recovery, &e));
	const struct credential c = { .type = SLOT_KEY_FILE, .key = weak };
	assert_ok(keystore_unseal_with(k, &c, &e));
	assert_check(ks, NULL);
}

/* What the slots are made of is what we promise: read with libcryptsetup alone. */
static void parameters(void **state)
{
	struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *passphrase = text_secret("correct horse");
	AUTOSECRET struct secret *weak = text_secret("short file");
	struct crypt_pbkdf_type p;
	struct crypt_device *cd = NULL;
	size_t len = 0;
	(void)state;
	add(ks, SLOT_PASSPHRASE, passphrase, NULL, NULL);
	add(ks, SLOT_KEY_FILE, weak, NULL, NULL);
	keystore_free(ks);
	assert_int_equal(crypt_init(&cd, in_dir("k/seal")), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_get_volume_key_size(cd), 32);
	for (int slot = 0; slot < 3; slot++) {
		assert_string_equal(crypt_keyslot_get_encryption(cd, slot, &len), "aes-xts-plain64");
		assert_int_equal(len, 64);
		assert_int_equal(crypt_keyslot_get_pbkdf(cd, slot, &p), 0);
		if (slot == 0) {
			assert_string_equal(p.type, CRYPT_KDF_PBKDF2);
			assert_int_equal(p.iterations, 1000);
			continue;
		}
		assert_string_equal(p.type, CRYPT_KDF_ARGON2ID);
		assert_int_equal(p.iterations, 4);
		assert_int_equal(p.max_memory_kb, 256 * 1024);
		assert_true(p.parallel_threads == 2 || sysconf(_SC_NPROCESSORS_ONLN) < 2);
	}
	crypt_free(cd);
}

/* Every guess at a keyslot, which may cost seconds each, goes through here (the Makefile's --wrap). */
static unsigned guesses;
int __real_crypt_volume_key_get(struct crypt_device *cd, int slot, char *key, size_t *len, const char *passphrase,
				size_t passphrase_len);
int __wrap_crypt_volume_key_get(struct crypt_device *cd, int slot, char *key, size_t *len, const char *passphrase,
				size_t passphrase_len);
int __wrap_crypt_volume_key_get(struct crypt_device *cd, int slot, char *key, size_t *len, const char *passphrase,
				size_t passphrase_len)
{
	guesses++;
	return __real_crypt_volume_key_get(cd, slot, key, len, passphrase, passphrase_len);
}

/* Key-file slots do not slow a passphrase down, nor passphrase slots a key file. */
static void only_slots_of_the_type_are_tried(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *passphrase = text_secret("correct horse");
	AUTOSECRET struct secret *wrong = text_secret("wrong");
	AUTOSECRET struct secret *wrong_file = NULL;
	AUTOSECRET struct secret *wrong_recovery = NULL;
	(void)state;
	add(ks, SLOT_PASSPHRASE, passphrase, NULL, NULL);
	AUTOKEYSTORE struct keystore *k = open_sealed("k");
	guesses = 0;
	assert_fails(keystore_unseal(k, wrong, &e), ERROR_BAD_KEY, "does not open");
	unsigned one = guesses;
	assert_true(one > 0);
	for (int i = 0; i < 3; i++) {
		AUTOSECRET struct secret *weak = text_secret((const char *[]){ "one", "two", "three" }[i]);
		add(ks, SLOT_KEY_FILE, weak, NULL, NULL);
	}
	guesses = 0;
	assert_fails(keystore_unseal(k, wrong, &e), ERROR_BAD_KEY, "does not open");
	assert_int_equal(guesses, one);
	assert_ok(secret_random(64, &wrong_file, &e));
	const struct credential c = { .type = SLOT_KEY_FILE, .key = wrong_file };
	guesses = 0;
	assert_fails(keystore_unseal_with(k, &c, &e), ERROR_BAD_KEY, "no slot");
	/* The weak ones have a slow function, and no file of this length. */
	assert_int_equal(guesses, 1);
	assert_ok(keystore_generate_recovery(&wrong_recovery, &e));
	const struct credential rec = { .type = SLOT_RECOVERY, .key = wrong_recovery };
	guesses = 0;
	assert_fails(keystore_unseal_with(k, &rec, &e), ERROR_BAD_KEY, "no slot of type 'recovery'");
	assert_int_equal(guesses, 0);
}

/* A slot for a key of its own: no key is enrolled twice. */
static int add_random(struct keystore *ks, struct error *err)
{
	AUTOSECRET struct secret *key = NULL;
	int slot, r = secret_random(32, &key, err);
	const struct credential c = { .type = SLOT_KEY_FILE, .key = key };
	r = r < 0 ? r : keystore_add_slot(ks, &c, &slot, err);
	return r < 0 ? r : slot;
}

static void adding_and_removing(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *key = NULL;
	(void)state;
	assert_fails(keystore_remove_slot(ks, 0, &e), ERROR_REFUSED, "is the last way to unseal");
	assert_fails(keystore_remove_slot(ks, 5, &e), ERROR_NOT_FOUND, "no slot 5");
	assert_fails(keystore_remove_slot(ks, -1, &e), ERROR_NOT_FOUND, "no slot -1");
	assert_fails(keystore_remove_slot(ks, 1000, &e), ERROR_NOT_FOUND, "no slot 1000");
	assert_ok(secret_random(32, &key, &e));
	assert_int_equal(add(ks, SLOT_KEY_FILE, key, NULL, NULL), 1);
	assert_ok(keystore_remove_slot(ks, 0, &e));
	AUTOKEYSTORE struct keystore *k = open_sealed("k");
	assert_fails(keystore_unseal(k, test_key, &e), ERROR_BAD_KEY, "does not open");
	assert_ok(keystore_unseal(k, key, &e));
	assert_fails(keystore_remove_slot(k, 1, &e), ERROR_REFUSED, "is the last way to unseal");
	assert_int_equal(access(in_dir("k/seal.new"), F_OK), -1);
	assert_check(k, NULL);
	/* All 16, and what happens then. */
	for (size_t i = count_slots(k); i < 16; i++)
		assert_true(add_random(k, &e) >= 0);
	assert_fails(add_random(k, &e), ERROR_FAILED, "cannot add a slot");
	assert_int_equal(count_slots(k), 16);
	assert_int_equal(access(in_dir("k/seal.new"), F_OK), -1);
	assert_check(k, NULL);
}

static void slot_of_another_program_is_no_way(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	struct crypt_device *cd = NULL;
	struct slot *slots = NULL;
	size_t n = 0;
	const struct crypt_pbkdf_type fast = { .type = CRYPT_KDF_PBKDF2, .hash = "sha256", .iterations = 1000,
					       .flags = CRYPT_PBKDF_NO_BENCHMARK };
	(void)state;
	assert_int_equal(crypt_init(&cd, in_dir("k/seal")), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &fast), 0);
	assert_int_equal(crypt_keyslot_add_by_passphrase(cd, 1, (char *)test_key->data, test_key->len, "foreign", 7),
			 1);
	crypt_free(cd);
	AUTOKEYSTORE struct keystore *sealed = open_sealed("k");
	assert_ok(keystore_slots(sealed, &slots, &n, &e));
	assert_int_equal(n, 2);
	assert_int_equal(slots[1].type, SLOT_OTHER);
	assert_string_equal(slot_type_name(slots[1].type), "other");
	slots_free(slots, n);
	/* Such a change did not go through our log: a person has to accept it, before anything goes on. */
	assert_fails(keystore_remove_slot(ks, 1, &e), ERROR_DAMAGED, "not the one that was stored last");
	assert_fails(keystore_unseal(sealed, test_key, &e), ERROR_DAMAGED, "keystore check --repair");
	assert_false(keystore_is_unsealed(sealed));
	assert_check(ks, "another program changed it; it has slot 0 (key-file); slot 1 (other)");
	assert_ok(keystore_repair(ks, NULL, &e));
	assert_fails(keystore_remove_slot(ks, 0, &e), ERROR_REFUSED, "last way");
	assert_ok(keystore_remove_slot(ks, 1, &e));
	assert_check(ks, NULL);
}

/* The checksum of a LUKS2 header copy made right again: SHA-256 of it with the field zeroed. */
static void repair_checksum(unsigned char *header)
{
	unsigned char hash[HASH_LEN];
	memset(header + 448, 0, 64);
	kdf_sha256(header, 16384, hash);
	memcpy(header + 448, hash, sizeof(hash));
}

/*
 * A keyslot without a cipher opens with any passphrase and gives a key of its author's choice
 * (CVE-2025-59054 and kin); libcryptsetup 2.6 loads such a header.
 */
static void null_cipher_slot_is_refused(void **state)
{
	static const char was[] = "\"encryption\":\"aes-xts-plain64\"", now[] = "\"encryption\":\"cipher_null-ecb\"";
	static unsigned char header[16384];
	(void)state;
	keystore_free(make_keystore("k"));
	int fd = open(in_dir("k/seal"), O_RDWR | O_CLOEXEC);
	for (int copy = 0; copy < 2; copy++) {
		assert_int_equal(pread(fd, header, sizeof(header), copy * 16384), sizeof(header));
		char *area = strstr((char *)header + 4096, "\"area\"");
		char *at = area ? strstr(area, was) : NULL;
		assert_non_null(at);
		memcpy(at, now, sizeof(now) - 1);
		repair_checksum(header);
		assert_int_equal(pwrite(fd, header, sizeof(header), copy * 16384), sizeof(header));
	}
	close(fd);
	AUTOKEYSTORE struct keystore *ks = open_sealed("k");
	assert_fails(keystore_unseal(ks, test_key, &e), ERROR_DAMAGED, "slot 0 has cipher 'cipher_null-ecb'");
}

static void hash_seal(int dir, unsigned char ret[HASH_LEN])
{
	void *data = NULL;
	size_t len = 0;
	assert_ok(seal_read(dir, &data, &len, &e));
	kdf_sha256(data, len, ret);
	free(data);
}

static void reading_never_writes(void **state)
{
	unsigned char before[HASH_LEN], after[HASH_LEN];
	(void)state;
	keystore_free(make_keystore("k"));
	/* The second copy of the header damaged: libcryptsetup would repair it when it can. */
	int fd = open(in_dir("k/seal"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "damage", 6, 16384 + 4096), 6);
	close(fd);
	int dir = open(in_dir("k"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	hash_seal(dir, before);
	AUTOKEYSTORE struct keystore *ks = open_sealed("k");
	assert_int_equal(count_slots(ks), 1);
	assert_ok(keystore_unseal(ks, test_key, &e));
	hash_seal(dir, after);
	assert_memory_equal(before, after, HASH_LEN);
	/* A change writes both copies anew. */
	AUTOSECRET struct secret *key = NULL;
	assert_ok(secret_random(32, &key, &e));
	add(ks, SLOT_KEY_FILE, key, NULL, NULL);
	assert_check(ks, NULL);
	close(dir);
}

static void removed_slot_is_wiped_in_the_old_file(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *key = NULL;
	unsigned char buf[4096];
	(void)state;
	assert_ok(secret_random(32, &key, &e));
	add(ks, SLOT_KEY_FILE, key, NULL, NULL);
	int old = open(in_dir("k/seal"), O_RDONLY | O_CLOEXEC);
	assert_ok(keystore_remove_slot(ks, 0, &e));
	for (off_t at = 0; pread(old, buf, sizeof(buf), at) == sizeof(buf); at += (off_t)sizeof(buf))
		for (size_t i = 0; i < sizeof(buf); i++)
			if (buf[i])
				fail_msg("byte %lld of the old seal is still there", (long long)at + (long long)i);
	close(old);
	/* But not somebody's hard link. */
	add(ks, SLOT_KEY_FILE, test_key, NULL, NULL);
	assert_int_equal(link(in_dir("k/seal"), in_dir("backup")), 0);
	assert_ok(keystore_remove_slot(ks, 1, &e));
	old = open(in_dir("backup"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(old, buf, 6, 0), 6);
	assert_memory_equal(buf, "LUKS\xba\xbe", 6);
	close(old);
}

/* Killed between the log and the rename: the next one who may finishes it. */
static void interrupted_change_is_finished(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTOSECRET struct secret *key = NULL;
	(void)state;
	assert_ok(secret_random(32, &key, &e));
	assert_int_equal(link(in_dir("k/seal"), in_dir("before")), 0);
	add(ks, SLOT_KEY_FILE, key, NULL, NULL);
	assert_int_equal(rename(in_dir("k/seal"), in_dir("k/seal.new")), 0);
	assert_int_equal(rename(in_dir("before"), in_dir("k/seal")), 0);
	assert_int_equal(count_slots(ks), 1);
	assert_check(ks, NULL);
	assert_int_equal(count_slots(ks), 2);
	AUTOKEYSTORE struct keystore *k = open_sealed("k");
	assert_ok(keystore_unseal(k, key, &e));
	/* A working copy that was never logged counts for nothing. */
	close(open(in_dir("k/seal.new"), O_CREAT | O_WRONLY, 0600));
	assert_check(ks, NULL);
	assert_true(add_random(ks, &e) >= 0);
	assert_int_equal(count_slots(ks), 3);
	assert_check(ks, NULL);
}

/* kill -9 at any moment of adding and removing: it opens, and the check is clean. */
static void killed_changes(void **state)
{
	int landed = 0;
	(void)state;
	keystore_free(make_keystore("k"));
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct keystore *ks = NULL;
			/* The keys are wiped in a child: the fixture's is read again from a file. */
			int fd = open(in_dir("keys"), O_RDONLY | O_CLOEXEC);
			struct secret *mine = NULL;
			if (fd < 0 || secret_read_fd(fd, 64, false, "key", &mine, NULL) < 0 ||
			    keystore_open(in_dir("k"), &ks, NULL) < 0 || keystore_unseal(ks, mine, NULL) < 0)
				_exit(1);
			for (int slot;;)
				if ((slot = add_random(ks, NULL)) < 0 || keystore_remove_slot(ks, slot, NULL) < 0)
					_exit(2);
		}
		usleep(10000 + (useconds_t)(rand() % 40000));
		int status = 0;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		landed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
		assert_check(ks, NULL);
		for (size_t n = count_slots(ks); n > 1; n--) {
			struct slot *slots = NULL;
			size_t count = 0;
			assert_ok(keystore_slots(ks, &slots, &count, &e));
			int last = slots[count - 1].slot;
			slots_free(slots, count);
			assert_ok(keystore_remove_slot(ks, last, &e));
		}
	}
	if (landed < 50)
		fail_msg("only %d of 60 kills landed", landed);
}

static int setup_killed(void **state)
{
	setup_dir(state);
	struct keystore *ks = make_keystore("probe");
	keystore_free(ks);
	FILE *f = fopen(in_dir("keys"), "we");
	fwrite(test_key->data, 1, test_key->len, f);
	fclose(f);
	chmod(in_dir("keys"), 0600);
	return 0;
}

static void concurrent_changes_are_not_lost(void **state)
{
	pid_t pids[4];
	(void)state;
	keystore_free(make_keystore("k"));
	for (int p = 0; p < 4; p++) {
		pids[p] = fork();
		if (pids[p] == 0) {
			struct keystore *ks = NULL;
			struct secret *mine = NULL;
			int fd = open(in_dir("keys"), O_RDONLY | O_CLOEXEC);
			if (fd < 0 || secret_read_fd(fd, 64, false, "key", &mine, NULL) < 0 ||
			    keystore_open(in_dir("k"), &ks, NULL) < 0 || keystore_unseal(ks, mine, NULL) < 0)
				_exit(1);
			for (int i = 0; i < 3; i++)
				if (add_random(ks, NULL) < 0)
					_exit(2);
			_exit(0);
		}
	}
	for (int p = 0; p < 4; p++) {
		int status = -1;
		waitpid(pids[p], &status, 0);
		assert_int_equal(status, 0);
	}
	AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
	assert_int_equal(count_slots(ks), 13);
	assert_check(ks, NULL);
}

/* ---- unsealing by key files ---- */

static void key_files_unseal_by_themselves(void **state)
{
	struct keystore *ks = make_keystore("k");
	(void)state;
	add(ks, SLOT_KEY_FILE, test_key, in_dir("keys"), NULL);
	keystore_free(ks);
	AUTOKEYSTORE struct keystore *a = open_sealed("k");
	assert_ok(keystore_unseal_auto(a, &e));
	assert_true(keystore_is_unsealed(a));
	assert_ok(keystore_unseal_auto(a, &e));
	/* Never one that everyone can read; the error says which and ends with the next step. */
	chmod(in_dir("keys"), 0644);
	AUTOKEYSTORE struct keystore *b = open_sealed("k");
	assert_fails(keystore_unseal_auto(b, &e), ERROR_SEALED, "keys can be read or written by everyone");
	assert_non_null(strstr(e.message, ": the keystore is sealed: run `kvmcrypt unseal`"));
	chmod(in_dir("keys"), 0600);
	assert_int_equal(truncate(in_dir("keys"), 40), 0);
	assert_fails(keystore_unseal_auto(b, &e), ERROR_SEALED, "run `kvmcrypt unseal`");
	unlink(in_dir("keys"));
	assert_fails(keystore_unseal_auto(b, &e), ERROR_SEALED, "No such file");
	/* A FIFO must not hang it. */
	assert_int_equal(mkfifo(in_dir("keys"), 0600), 0);
	assert_fails(keystore_unseal_auto(b, &e), ERROR_SEALED, "not a regular file");
}

#define WITH_KEYS(fn) cmocka_unit_test_setup_teardown(fn, setup_killed, forget_key)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEYSTORE_TEST(every_type_opens),
		KEYSTORE_TEST(parameters),
		KEYSTORE_TEST(only_slots_of_the_type_are_tried),
		KEYSTORE_TEST(adding_and_removing),
		KEYSTORE_TEST(slot_of_another_program_is_no_way),
		KEYSTORE_TEST(null_cipher_slot_is_refused),
		KEYSTORE_TEST(reading_never_writes),
		KEYSTORE_TEST(removed_slot_is_wiped_in_the_old_file),
		KEYSTORE_TEST(interrupted_change_is_finished),
		WITH_KEYS(killed_changes),
		WITH_KEYS(concurrent_changes_are_not_lost),
		WITH_KEYS(key_files_unseal_by_themselves),
	};
	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
