/* Many processes at one keystore, and processes that are killed while they write. */
#include "keystore_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define PROCESSES 8
#define OPERATIONS 125

/* Secrets are zero in a forked child: it reads the key from a file, as a command would. */
static struct keystore *child_open(void)
{
	struct keystore *ks = NULL;
	struct secret *key = NULL;
	int fd = open(in_dir("key"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || secret_read_fd(fd, 64, false, "key", &key, &e) < 0 ||
	    keystore_open(in_dir("k"), &ks, &e) < 0 || keystore_unseal(ks, key, &e) < 0) {
		fprintf(stderr, "# child: %s\n", e.message);
		_exit(10);
	}
	return ks;
}

static int setup(void **state)
{
	setup_dir(state);
	keystore_free(make_keystore("k"));
	FILE *f = fopen(in_dir("key"), "we");
	fwrite(test_key->data, 1, test_key->len, f);
	fclose(f);
	return 0;
}

static void child_must(int r)
{
	if (r == 0)
		return;
	fprintf(stderr, "# child: %d %s\n", r, e.message);
	_exit(11);
}

/* Own volumes come and go; every third operation also changes a counter that all share. */
static void work(int number)
{
	struct keystore *ks = child_open();
	struct record *mine = NULL;
	uuid_t shared_id;
	struct record *shared = NULL;
	child_must(keystore_find_path(ks, "/shared", &shared, &e));
	uuid_copy(shared_id, shared->uuid);
	record_free(shared);
	for (int i = 0; i < OPERATIONS; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/p%d/v%03d", number, i);
		mine = make_record(path);
		child_must(keystore_put(ks, mine, "create", NULL, &e));
		child_must(keystore_reveal(ks, &mine, 1, "attach", NULL, &e));
		if (i % 2)
			child_must(keystore_remove(ks, mine, "erase", NULL, &e));
		record_free(mine);
		while (i % 3 == 0) {
			shared = NULL;
			child_must(keystore_get(ks, shared_id, &shared, &e));
			int r = keystore_reveal(ks, &shared, 1, "update", NULL, &e);
			shared->generation++;
			if (r == 0)
				r = keystore_put(ks, shared, "update", NULL, &e);
			record_free(shared);
			if (r == 0)
				break;
			if (e.err != ESTALE)
				child_must(r);
		}
	}
	keystore_free(ks);
	_exit(0);
}

static void nothing_is_lost(void **state)
{
	pid_t pids[PROCESSES];
	struct keystore_status st;
	(void)state;
	struct keystore *ks = open_unsealed("k");
	record_free(store_record(ks, "/shared"));
	keystore_free(ks);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			work(i);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status = -1;
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	ks = open_unsealed("k");
	AUTORECORD struct record *shared = NULL;
	assert_ok(keystore_status(ks, &st, &e));
	assert_int_equal(st.volumes, 1 + PROCESSES * ((OPERATIONS + 1) / 2));
	assert_ok(keystore_find_path(ks, "/shared", &shared, &e));
	assert_int_equal(shared->generation, 1 + PROCESSES * ((OPERATIONS + 2) / 3));
	assert_check(ks, NULL);
	keystore_free(ks);
}

static void churn(void)
{
	struct keystore *ks = child_open();
	for (int i = 0;; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/%d/%d", (int)getpid(), i);
		struct record *r = make_record(path);
		child_must(keystore_put(ks, r, "create", NULL, &e));
		child_must(keystore_reveal(ks, &r, 1, "attach", NULL, &e));
		r->generation++;
		child_must(keystore_put(ks, r, "rotate", NULL, &e));
		if (i % 2)
			child_must(keystore_remove(ks, r, "erase", NULL, &e));
		record_free(r);
	}
}

static int count(void *ctx, const struct record *r)
{
	(void)r;
	++*(uint64_t *)ctx;
	return 0;
}

static void killed_writers(void **state)
{
	int landed = 0;
	(void)state;
	for (int i = 0; i < 60; i++) {
		struct keystore_status st;
		uint64_t n = 0;
		int status = 0;
		pid_t pid = fork();
		if (pid == 0)
			churn();
		usleep(8000 + (useconds_t)(rand() % 30000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		landed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		AUTOKEYSTORE struct keystore *ks = open_unsealed("k");
		assert_check(ks, NULL);
		assert_ok(keystore_status(ks, &st, &e));
		assert_ok(keystore_each(ks, count, &n, &e));
		assert_true(n == st.volumes);
	}
	if (landed < 55)
		fail_msg("only %d of 60 kills landed", landed);
}

/* Killed while it is made: there is a whole keystore or none, and init can run again. */
static void killed_creation(void **state)
{
	int made = 0, none = 0;
	const struct credential c = { .type = SLOT_KEY_FILE, .key = test_key };
	(void)state;
	for (int i = 0; i < 80; i++) {
		struct keystore *ks = NULL;
		pid_t pid = fork();
		if (pid == 0) {
			struct secret *key = NULL;
			int fd = open(in_dir("key"), O_RDONLY | O_CLOEXEC);
			if (secret_read_fd(fd, 64, false, "key", &key, NULL) < 0)
				_exit(1);
			const struct credential mine = { .type = SLOT_KEY_FILE, .key = key };
			if (keystore_create(in_dir("new"), &mine, 1, &ks, NULL) < 0)
				_exit(2);
			_exit(0);
		}
		usleep((useconds_t)(i * 700));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (keystore_open(in_dir("new"), &ks, &e) < 0) {
			assert_int_equal(e.kind, ERROR_NOT_FOUND);
			assert_ok(keystore_create(in_dir("new"), &c, 1, &ks, &e));
			none++;
		} else {
			assert_ok(keystore_unseal(ks, test_key, &e));
			made++;
		}
		assert_check(ks, NULL);
		keystore_free(ks);
		remove_tree(in_dir("new"));
	}
	if (!made || !none)
		print_message("# killed creation: %d whole, %d none\n", made, none);
}

/* Two at once: one makes it, the other is told. */
static void concurrent_creation(void **state)
{
	int codes[4] = { 0 };
	pid_t pids[4];
	(void)state;
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct secret *key = NULL;
			struct keystore *ks = NULL;
			int fd = open(in_dir("key"), O_RDONLY | O_CLOEXEC);
			if (secret_read_fd(fd, 64, false, "key", &key, NULL) < 0)
				_exit(1);
			const struct credential mine = { .type = SLOT_KEY_FILE, .key = key };
			int r = keystore_create(in_dir("new"), &mine, 1, &ks, &e);
			_exit(r == 0 ? 0 : (int)e.kind);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status;
		waitpid(pids[i], &status, 0);
		assert_true(WIFEXITED(status));
		int code = WEXITSTATUS(status);
		assert_true(code == 0 || code == ERROR_EXISTS);
		codes[code == 0 ? 0 : 1]++;
	}
	assert_int_equal(codes[0], 1);
	AUTOKEYSTORE struct keystore *ks = open_unsealed("new");
	assert_check(ks, NULL);
}

#define WITH_KEYSTORE(fn) cmocka_unit_test_setup_teardown(fn, setup, forget_key)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KEYSTORE(nothing_is_lost),
		WITH_KEYSTORE(killed_writers),
		WITH_KEYSTORE(killed_creation),
		WITH_KEYSTORE(concurrent_creation),
	};
	return cmocka_run_group_tests_name("concurrent", tests, NULL, NULL);
}
