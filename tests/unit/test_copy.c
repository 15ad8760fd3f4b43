/* An image file at another place: its bytes, holes and attributes, and what is said where it does not fit. */
#include "tests/unit/image_util.h"

#include "lib/image/file/copy.h"

#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE (8 * MIB + 777)

static struct error err;

static int file(const char *name)
{
	int fd = open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

/* Data in some places, at the odd end too. */
static int source(void)
{
	static const uint64_t at[] = { 0, 3 * MIB - 5, 5 * MIB, SIZE - 9 };
	int fd = file("from");
	assert_int_equal(ftruncate(fd, SIZE), 0);
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		assert_ok(file_pwrite(fd, "12345678", 8, at[i], "from", &err));
	return fd;
}

static void test_data(void **state)
{
	(void)state;
	AUTOCLOSE int from = source(), to = file("to");
	struct stat a, b;
	const struct image_copy c = { .from = from, .from_path = "from", .to = to, .to_path = "to" };
	assert_ok(image_copy_data(&c, &err));
	AUTOFREE char *x = malloc(SIZE), *y = malloc(SIZE);
	assert_ok(file_pread(from, x, SIZE, 0, "from", &err));
	assert_ok(file_pread(to, y, SIZE, 0, "to", &err));
	assert_memory_equal(x, y, SIZE);
	assert_int_equal(fstat(from, &a) | fstat(to, &b), 0);
	assert_int_equal(a.st_size, b.st_size);
	assert_true(b.st_blocks <= a.st_blocks + 8);
}

/* A write that did not arrive, in data and in a hole, as progress has its turn between copy and comparison. */
struct spoil {
	int fd;
	uint64_t at;
	bool done;
};

static int spoil(void *context, const char *what, uint64_t done, uint64_t total)
{
	struct spoil *s = context;
	if (!s->done && done == total && !strcmp(what, "copying"))
		s->done = pwrite(s->fd, "x", 1, (off_t)s->at) == 1;
	return 0;
}

static void test_noticed(void **state)
{
	static const uint64_t places[] = { 0, 3 * MIB - 1, 4 * MIB, 6 * MIB + 1, SIZE - 1 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		AUTOCLOSE int from = source(), to = file("to");
		struct spoil s = { .fd = to, .at = places[i] };
		const struct progress p = { spoil, &s };
		const struct image_copy c = {
			.from = from, .from_path = "from", .to = to, .to_path = "to", .progress = &p
		};
		assert_int_equal(image_copy_data(&c, &err), -EIO);
		assert_true(s.done);
		assert_non_null(strstr(err.message, "reads back differently"));
	}
}

static int stop_it(void *context, const char *what, uint64_t done, uint64_t total)
{
	(void)context, (void)what, (void)done, (void)total;
	return 1;
}

static void test_stopped(void **state)
{
	(void)state;
	AUTOCLOSE int from = source(), to = file("to");
	const struct progress p = { stop_it, NULL };
	const struct image_copy c = { .from = from, .from_path = "from", .to = to, .to_path = "to", .progress = &p };
	assert_int_equal(image_copy_data(&c, &err), -ECANCELED);
}

static void test_attributes(void **state)
{
	(void)state;
	AUTOCLOSE int from = source(), to = file("to");
	const struct image_copy c = { .from = from, .from_path = "from", .to = to, .to_path = "to" };
	char value[8] = "";
	struct stat st;
	bool known = fsetxattr(from, "user.note", "hello", 5, 0) == 0;
	assert_int_equal(fchmod(from, 0640), 0);
	if (geteuid() == 0)
		assert_int_equal(fchown(from, 12, 34), 0);
	assert_ok(image_copy_check_attributes(&c, &err));
	assert_int_equal(fstat(to, &st), 0);
	assert_true(st.st_uid == geteuid() && (st.st_mode & 07777) == 0600);
	assert_ok(image_copy_attributes(&c, &err));
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(geteuid() != 0 || (st.st_uid == 12 && st.st_gid == 34));
	if (known) {
		assert_int_equal(fgetxattr(to, "user.note", value, sizeof(value)), 5);
		assert_string_equal(value, "hello");
	}
}

/* Larger than any buffer that is not made for it, and many; what cannot be kept stops the copy. */
static void test_large_attributes(void **state)
{
	(void)state;
	AUTOCLOSE int from = source(), to = file("to"), other = memfd_create("other", MFD_CLOEXEC);
	struct image_copy c = { .from = from, .from_path = "from", .to = to, .to_path = "to" };
	char name[256], value[9000], back[sizeof(value)];
	size_t len = sizeof(value);
	memset(value, 'x', sizeof(value));
	/* As large as the file system takes it. */
	while (len && fsetxattr(from, "user.large", value, len, 0) < 0)
		len -= 500;
	if (!len)
		return;
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "user.%0200d", i);
		if (fsetxattr(from, name, "1", 1, 0) < 0)
			break;
	}
	ssize_t names = flistxattr(from, NULL, 0);
	assert_ok(image_copy_attributes(&c, &err));
	assert_int_equal(fgetxattr(to, "user.large", back, sizeof(back)), len);
	assert_memory_equal(value, back, len);
	assert_int_equal(flistxattr(to, NULL, 0), names);
	if (fsetxattr(other, "user.large", "1", 1, 0) == 0)
		return;
	c.to = other;
	err = (struct error){ 0 };
	assert_true(image_copy_attributes(&c, &err) < 0);
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "attribute user."));
}

static void test_space(void **state)
{
	(void)state;
	AUTOCLOSE int from = source();
	assert_ok(image_check_space(in_dir("from"), test_dir, 0, &err));
	assert_int_equal(image_check_space(in_dir("from"), "/proc", 0, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "needs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),	   cmocka_unit_test(test_noticed), cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_large_attributes), cmocka_unit_test(test_space),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
