/* base/secret: where key bytes live, and that they are gone afterwards. */
#include "fixture.h"

#include "base/secret.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct error e;

static void is_zeroed_and_sized(void **state)
{
	AUTOSECRET struct secret *s = NULL;
	(void)state;
	assert_ok(secret_new(5000, &s, &e));
	assert_int_equal(s->len, 5000);
	assert_true(s->mapped >= 5000 && s->mapped % (size_t)sysconf(_SC_PAGESIZE) == 0);
	for (size_t i = 0; i < s->mapped; i++)
		assert_int_equal(s->data[i], 0);
}

static void refuses_none_and_too_much(void **state)
{
	struct secret *s = (void *)1;
	(void)state;
	assert_fails(secret_new(0, &s, &e), ERROR_FAILED, "cannot be held");
	assert_fails(secret_new(SECRET_HELD_MAX + 1, &s, &e), ERROR_FAILED, "cannot be held");
	assert_ptr_equal(s, (void *)1);
}

/* VmFlags of the mapping that holds p: lo locked, dd not dumped, wf wiped on fork. */
static void vm_flags(const void *p, char *ret, size_t len)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	unsigned long from, to;
	int inside = 0;
	ret[0] = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)p >= from && (unsigned long)p < to;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			snprintf(ret, len, "%.200s", line + 8);
	}
	fclose(f);
}

static void mapping_is_locked_and_not_dumped(void **state)
{
	AUTOSECRET struct secret *s = NULL;
	char flags[256];
	(void)state;
	assert_ok(secret_random(32, &s, &e));
	vm_flags(s->data, flags, sizeof(flags));
#ifndef __SANITIZE_ADDRESS__ /* ASan makes mlock() do nothing */
	assert_non_null(strstr(flags, " lo"));
#endif
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(strstr(flags, " wf"));
}

static void forked_child_sees_zeros(void **state)
{
	AUTOSECRET struct secret *s = NULL;
	int status = -1;
	(void)state;
	assert_ok(secret_copy("sixteen byte key", 16, &s, &e));
	pid_t pid = fork();
	if (pid == 0) {
		int sum = 0;
		for (size_t i = 0; i < s->mapped; i++)
			sum |= s->data[i];
		_exit(sum ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_memory_equal(s->data, "sixteen byte key", 16);
}

static void freed_pages_are_unmapped(void **state)
{
	struct secret *s = NULL;
	unsigned char vec;
	(void)state;
	/* More than the one page that is kept for the next. */
	assert_ok(secret_random(2 * (size_t)sysconf(_SC_PAGESIZE), &s, &e));
	void *page = s->data;
	assert_int_equal(mincore(page, 1, &vec), 0);
	secret_free(s);
	assert_int_equal(mincore(page, 1, &vec), -1);
	assert_int_equal(errno, ENOMEM);
	secret_free(NULL);
}

static void a_page_is_kept_wiped(void **state)
{
	struct secret *s = NULL;
	unsigned char vec;
	int status;
	(void)state;
	assert_ok(secret_random(32, &s, &e));
	unsigned char *page = s->data;
	secret_free(s);
	if (mincore(page, 1, &vec) < 0)
		skip();	/* under a sanitizer none is kept */
	for (size_t i = 0; i < (size_t)sysconf(_SC_PAGESIZE); i++)
		assert_int_equal(page[i], 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(secret_new(32, &s, &e) == 0 && s->data != page ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_ok(secret_new(32, &s, &e));
	assert_ptr_equal(s->data, page);
	secret_free(s);
}

/* Freeing wipes first: seen through a second mapping of the same bytes. */
static void freed_bytes_are_wiped(void **state)
{
	int fd = memfd_create("secret-test", MFD_CLOEXEC);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)page), 0);
	unsigned char *seen = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	struct secret *s = calloc(1, sizeof(*s));
	s->len = s->mapped = page;
	s->data = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(s->data, 0x5a, page);
	assert_int_equal(seen[page - 1], 0x5a);
	secret_free(s);
	for (size_t i = 0; i < page; i++)
		assert_int_equal(seen[i], 0);
	munmap(seen, page);
	close(fd);
}

static void generated_passphrases(void **state)
{
	AUTOSECRET struct secret *a = NULL;
	AUTOSECRET struct secret *b = NULL;
	(void)state;
	assert_ok(secret_generate_passphrase(&a, &e));
	assert_ok(secret_generate_passphrase(&b, &e));
	assert_int_equal(a->len, SECRET_GENERATED_LEN);
	assert_false(secret_equal(a, b));
	for (size_t i = 0; i < a->len; i++)
		assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
				       a->data[i]));
	/* QEMU reads it as text: no byte of it is behind the end. */
	assert_int_equal(a->data[a->len], 0);
}

static void base64(void **state)
{
	static const char *const pairs[][2] = { { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
						{ "foobar", "Zm9vYmFy" } };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		AUTOSECRET struct secret *in = NULL;
		AUTOSECRET struct secret *out = NULL;
		assert_ok(secret_copy(pairs[i][0], strlen(pairs[i][0]), &in, &e));
		assert_ok(secret_base64(in, &out, &e));
		assert_int_equal(out->len, strlen(pairs[i][1]));
		assert_memory_equal(out->data, pairs[i][1], out->len);
	}
}

/* A pipe that holds len bytes of `fill`, and its end. */
static int pipe_with(const char *text, size_t len)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, len), (ssize_t)len);
	close(fds[1]);
	return fds[0];
}

static void reading(void **state)
{
	struct secret *s = NULL;
	(void)state;
	int fd = pipe_with("hello\n", 6);
	assert_ok(secret_read_fd(fd, 100, true, "it", &s, &e));
	assert_int_equal(s->len, 5);
	secret_free(s);
	close(fd);
	/* Only one newline, and only when asked. */
	fd = pipe_with("hello\n\n", 7);
	assert_ok(secret_read_fd(fd, 100, true, "it", &s, &e));
	assert_int_equal(s->len, 6);
	secret_free(s);
	close(fd);
	fd = pipe_with("hello\n", 6);
	assert_ok(secret_read_fd(fd, 6, false, "it", &s, &e));
	assert_int_equal(s->len, 6);
	secret_free(s);
	close(fd);
	fd = pipe_with("hello!", 6);
	assert_fails(secret_read_fd(fd, 5, false, "it", &s, &e), ERROR_USAGE, "it is longer than 5");
	close(fd);
	fd = pipe_with("\n", 1);
	assert_fails(secret_read_fd(fd, 5, true, "it", &s, &e), ERROR_USAGE, "it is empty");
	close(fd);
	fd = pipe_with("", 0);
	assert_fails(secret_read_fd(fd, 5, false, "it", &s, &e), ERROR_USAGE, "it is empty");
	close(fd);
}

static void reading_large_files(void **state)
{
	struct secret *s = NULL;
	(void)state;
	int fd = memfd_create("large", MFD_CLOEXEC);
	char *big = malloc(1 << 20);
	for (int i = 0; i < 1 << 20; i++)
		big[i] = (char)(i * 7);
	assert_int_equal(write(fd, big, 1 << 20), 1 << 20);
	lseek(fd, 0, SEEK_SET);
	assert_ok(secret_read_fd(fd, 1 << 20, false, "it", &s, &e));
	assert_int_equal(s->len, 1 << 20);
	assert_memory_equal(s->data, big, 1 << 20);
	secret_free(s);
	free(big);
	/* Longer than any secret: refused, not cut off. */
	assert_int_equal(ftruncate(fd, SECRET_MAX + 10), 0);
	lseek(fd, 0, SEEK_SET);
	if (secret_read_fd(fd, SECRET_MAX, false, "it", &s, &e) == 0)
		fail_msg("a file longer than SECRET_MAX was cut to %zu bytes", s->len);
	close(fd);
}

static void comparing(void **state)
{
	AUTOSECRET struct secret *a = NULL;
	AUTOSECRET struct secret *b = NULL;
	AUTOSECRET struct secret *c = NULL;
	(void)state;
	assert_ok(secret_copy("abc", 3, &a, &e));
	assert_ok(secret_copy("abc", 3, &b, &e));
	assert_ok(secret_copy("abcd", 4, &c, &e));
	assert_true(secret_equal(a, b));
	assert_false(secret_equal(a, c));
	b->data[2] ^= 1;
	assert_false(secret_equal(a, b));
}

static void protected_process(void **state)
{
	int status = -1;
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit l;
		if (secret_protect_process(NULL) < 0 || getrlimit(RLIMIT_CORE, &l) < 0)
			_exit(1);
		_exit(l.rlim_cur || l.rlim_max || prctl(PR_GET_DUMPABLE) ? 2 : 0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_zeroed_and_sized),
		cmocka_unit_test(refuses_none_and_too_much),
		cmocka_unit_test(mapping_is_locked_and_not_dumped),
		cmocka_unit_test(forked_child_sees_zeros),
		cmocka_unit_test(freed_pages_are_unmapped),
		cmocka_unit_test(a_page_is_kept_wiped),
		cmocka_unit_test(freed_bytes_are_wiped),
		cmocka_unit_test(generated_passphrases),
		cmocka_unit_test(base64),
		cmocka_unit_test(reading),
		cmocka_unit_test(reading_large_files),
		cmocka_unit_test(comparing),
		cmocka_unit_test(protected_process),
	};
	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
