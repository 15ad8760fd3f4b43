/* base/file: whole reads and writes; new files appear complete or not at all. */
#include "fixture.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct error e;

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_content(const char *path, const char *want)
{
	char buf[256] = "";
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fread(buf, 1, sizeof(buf) - 1, f), strlen(want));
	fclose(f);
	assert_string_equal(buf, want);
}

static int entries(void)
{
	DIR *d = opendir(test_dir);
	int n = -2;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void whole_reads_and_writes(void **state)
{
	char buf[8];
	(void)state;
	put(in_dir("a"), "0123456789");
	int fd = open(in_dir("a"), O_RDWR | O_CLOEXEC);
	assert_ok(file_pread(fd, buf, 4, 3, "a", &e));
	assert_memory_equal(buf, "3456", 4);
	assert_fails(file_pread(fd, buf, 4, 8, "a", &e), ERROR_DAMAGED, "a is too short");
	assert_ok(file_pwrite(fd, "xy", 2, 9, "a", &e));
	assert_content(in_dir("a"), "012345678xy");
	assert_ok(file_sync(fd, "a", &e));
	close(fd);
	assert_fails(file_pread(-1, buf, 1, 0, "a", &e), ERROR_FAILED, "cannot read a");
	assert_fails(file_pwrite(-1, buf, 1, 0, "a", &e), ERROR_FAILED, "cannot write a");
	assert_fails(file_sync(-1, "a", &e), ERROR_FAILED, "cannot sync a");
}

static void atomic_write(void **state)
{
	struct stat st;
	(void)state;
	assert_ok(file_write_atomic(in_dir("a"), "one", 3, 0640, false, &e));
	assert_content(in_dir("a"), "one");
	assert_int_equal(stat(in_dir("a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_fails(file_write_atomic(in_dir("a"), "two", 3, 0600, false, &e), ERROR_EXISTS, "exists already");
	assert_content(in_dir("a"), "one");
	assert_ok(file_write_atomic(in_dir("a"), "two", 3, 0600, true, &e));
	assert_content(in_dir("a"), "two");
	assert_int_equal(entries(), 1);
	assert_fails(file_write_atomic(in_dir("no/a"), "x", 1, 0600, false, &e), ERROR_NOT_FOUND, "cannot create");
}

static void uncommitted_file_is_removed(void **state)
{
	struct file_new *f = NULL;
	struct stat st;
	(void)state;
	assert_ok(file_new_begin(in_dir("a"), &f, &e));
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Nothing stays of it however the process ends. */
	assert_int_equal(entries(), f->unnamed ? 0 : 1);
	file_new_free(f);
	assert_int_equal(entries(), 0);
	assert_ok(file_new_plan(in_dir("a"), &f, &e));
	assert_non_null(strstr(f->tmp, FILE_NEW_SUFFIX));
	assert_int_equal(entries(), 0);
	assert_ok(file_new_open(f, &e));
	assert_int_equal(entries(), 1);
	file_new_free(f);
	assert_int_equal(entries(), 0);
	file_new_free(NULL);
}

static void does_not_follow_a_link(void **state)
{
	(void)state;
	put(in_dir("target"), "precious");
	assert_int_equal(symlink(in_dir("target"), in_dir("link")), 0);
	assert_fails(file_write_atomic(in_dir("link"), "x", 1, 0600, false, &e), ERROR_EXISTS, "exists");
	assert_ok(file_write_atomic(in_dir("link"), "x", 1, 0600, true, &e));
	assert_content(in_dir("target"), "precious");
}

static void canonical_paths(void **state)
{
	char *path = NULL;
	char want[300];
	(void)state;
	put(in_dir("a"), "");
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	assert_int_equal(symlink(in_dir("d"), in_dir("l")), 0);
	assert_ok(file_canonical(in_dir("d/../a"), &path, &e));
	assert_string_equal(path, in_dir("a"));
	free(path);
	/* A name that does not exist yet, in a directory reached by a link. */
	assert_ok(file_canonical(in_dir("l/new"), &path, &e));
	snprintf(want, sizeof(want), "%s/d/new", test_dir);
	assert_string_equal(path, want);
	free(path);
	assert_ok(file_canonical("/kvmcrypt-does-not-exist", &path, &e));
	assert_string_equal(path, "/kvmcrypt-does-not-exist");
	free(path);
	assert_fails(file_canonical(in_dir("no/such"), &path, &e), ERROR_NOT_FOUND, "no/such");
	assert_fails(file_canonical("", &path, &e), ERROR_NOT_FOUND, "no such file");
}

static void sizes(void **state)
{
	uint64_t n = 0;
	(void)state;
	put(in_dir("a"), "12345");
	int fd = open(in_dir("a"), O_RDONLY | O_CLOEXEC);
	assert_ok(file_size(fd, "a", &n, &e));
	assert_int_equal(n, 5);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_fails(file_size(fd, "null", &n, &e), ERROR_USAGE, "neither a file nor a block device");
	close(fd);
	assert_fails(file_size(-1, "x", &n, &e), ERROR_FAILED, "cannot stat x");
}

static void directory_sync(void **state)
{
	(void)state;
	assert_ok(file_sync_dir_of(in_dir("a"), &e));
	assert_fails(file_sync_dir_of(in_dir("no/a"), &e), ERROR_NOT_FOUND, "cannot open directory");
}

static void ram(void **state)
{
	(void)state;
	assert_false(file_is_ram("/kvmcrypt-does-not-exist"));
	assert_false(file_is_ram("/proc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_IN_DIR(whole_reads_and_writes), TEST_IN_DIR(atomic_write),
		TEST_IN_DIR(uncommitted_file_is_removed), TEST_IN_DIR(does_not_follow_a_link),
		TEST_IN_DIR(canonical_paths), TEST_IN_DIR(sizes), TEST_IN_DIR(directory_sync),
		cmocka_unit_test(ram),
	};
	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
