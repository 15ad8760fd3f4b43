/* Another name for the backing file in a qcow2 header: it reads back, and nothing else in the file is changed. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"
#include "lib/image/qcow2/format.h"

#define LUKS_LEN (2u * 1024 * 1024)

static struct error err;

static int make(uint32_t cluster, const char *backing, uint64_t *ret_size)
{
	const struct qcow2_params p = { .size = 64 * MIB, .cluster_size = cluster, .backing = backing,
					.backing_format = backing ? "qcow2" : NULL };
	uint64_t offset;
	int fd = open(in_dir("image"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_ok(qcow2_write(fd, &p, LUKS_LEN, NULL, &offset, &err));
	assert_ok(file_size(fd, "image", ret_size, &err));
	return fd;
}

static void name_of(char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = i % 31 ? (char)('a' + i % 26) : '/';
	buf[len] = 0;
}

static void expect(int fd, uint64_t size, const char *name)
{
	struct qcow2_header h;
	assert_ok(qcow2_read(fd, size, "image", &h, &err));
	assert_string_equal(h.backing, name);
	assert_string_equal(h.backing_format, "qcow2");
	assert_int_equal(h.size, 64 * MIB);
	assert_int_equal(h.luks_length, LUKS_LEN);
}

/* Longer, shorter, to and fro: of any length that there is room for. */
static void test_lengths(void **state)
{
	static const size_t lengths[] = { 1, 200, 7, 300, 299, 8, 64, 333, 2, 1023, 1022, 512, 3, 1000, 900, 1 };
	(void)state;
	for (uint32_t cluster = 512; cluster <= 2 * MIB; cluster *= 2) {
		uint64_t size;
		char name[1100], last[1100] = "/base";
		AUTOCLOSE int fd = make(cluster, last, &size);
		AUTOFREE unsigned char *before = malloc((size_t)size - cluster),
				       *after = malloc((size_t)size - cluster);
		assert_true(before && after);
		assert_ok(file_pread(fd, before, (size_t)size - cluster, cluster, "image", &err));
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			name_of(name, lengths[i]);
			int planned = qcow2_set_backing(fd, "image", name, true, &err);
			expect(fd, size, last);
			assert_int_equal(qcow2_set_backing(fd, "image", name, false, &err), planned);
			/* What a cluster has beside its header and three extensions. */
			if (lengths[i] + 200 <= cluster)
				assert_ok(planned);
			if (planned == 0)
				memcpy(last, name, sizeof(last));
			else
				assert_int_equal(err.err, ENAMETOOLONG);
			expect(fd, size, last);
		}
		assert_ok(file_pread(fd, after, (size_t)size - cluster, cluster, "image", &err));
		assert_memory_equal(before, after, (size_t)size - cluster);
	}
}

static void test_too_long(void **state)
{
	char name[1100];
	uint64_t size;
	(void)state;
	AUTOCLOSE int fd = make(65536, "/base", &size);
	name_of(name, 1024);
	assert_int_equal(qcow2_set_backing(fd, "image", name, false, &err), -ENAMETOOLONG);
	expect(fd, size, "/base");
}

static void test_not_plain(void **state)
{
	uint64_t size;
	(void)state;
	AUTOCLOSE int fd = make(65536, "/base", &size);
	assert_int_equal(qcow2_set_backing(fd, "image", "nbd:host:1", false, &err), -EINVAL);
	expect(fd, size, "/base");
}

/* A header whose extensions end where the old name begins: there the new one has to stay. */
static void test_no_end(void **state)
{
	unsigned char h[512];
	uint64_t size;
	(void)state;
	AUTOCLOSE int fd = make(65536, "/base", &size);
	assert_ok(file_pread(fd, h, sizeof(h), 0, "image", &err));
	uint64_t at = get_be64(h + HDR_BACKING_OFFSET);
	/* The end extension goes, and the name with it to the front. */
	memmove(h + at - EXT_HEAD_LEN, h + at, 5);
	memset(h + at - EXT_HEAD_LEN + 5, 'x', 3);
	put_be64(h + HDR_BACKING_OFFSET, at - EXT_HEAD_LEN);
	assert_ok(file_pwrite(fd, h, sizeof(h), 0, "image", &err));
	expect(fd, size, "/base");
	assert_ok(qcow2_set_backing(fd, "image", "/another/base", false, &err));
	expect(fd, size, "/another/base");
	assert_ok(qcow2_set_backing(fd, "image", "/b", false, &err));
	expect(fd, size, "/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_not_plain),
		cmocka_unit_test(test_no_end),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
