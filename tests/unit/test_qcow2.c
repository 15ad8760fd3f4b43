/* The qcow2 header: every refusal by its own fixture, and what is written reads back. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"
#include "lib/image/qcow2/format.h"

#define CLUSTER 65536u
#define LUKS_LEN (2u * 1024 * 1024)

static struct error err;

/* A good image and the bytes of its first cluster, to be changed one field at a time. */
struct fixture {
	unsigned char *bytes;
	uint64_t file_size;
};

static struct fixture image(const char *backing)
{
	const struct qcow2_params p = { .size = GIB, .cluster_size = CLUSTER, .backing = backing,
					.backing_format = backing ? "qcow2" : NULL };
	struct fixture f = { .bytes = malloc(CLUSTER) };
	uint64_t offset;
	AUTOCLOSE int fd = open(in_dir("image"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && f.bytes);
	assert_ok(qcow2_write(fd, &p, LUKS_LEN, NULL, &offset, &err));
	assert_ok(file_size(fd, "image", &f.file_size, &err));
	assert_ok(file_pread(fd, f.bytes, CLUSTER, 0, "image", &err));
	return f;
}

struct patch {
	size_t at;
	int width;	/* bytes, big-endian; 0: none */
	uint64_t value;
};

static void apply(unsigned char *bytes, const struct patch *p)
{
	for (int i = 0; i < p->width; i++)
		bytes[p->at + i] = (unsigned char)(p->value >> (8 * (p->width - 1 - i)));
}

/* Where qcow2_write() puts things: extensions start at 112. */
enum {
	LUKS_EXT = 112, LUKS_EXT_LEN = 116, LUKS_OFFSET = 120, LUKS_LENGTH = 128, AFTER_EXT = 136,
	FORMAT_EXT = 112, FORMAT_LEN = 116, FORMAT_NAME = 120, LUKS_EXT_2 = 128, NAME = 160,
};
#define BITMAPS_24 ((uint64_t)EXT_BITMAPS << 32 | 24)
#define L1_AT (35 * CLUSTER)	/* header, refcount table, block, 32 clusters of LUKS */

static const struct refusal {
	const char *why;
	struct patch patch[5];
} refusals[] = {
	{ "magic is wrong", { { 0, 1, 'X' } } },
	{ "version 1", { { 4, 4, 1 } } },
	{ "version 4", { { 4, 4, 4 } } },
	{ "cluster bits 8", { { 20, 4, 8 } } },
	{ "cluster bits 22", { { 20, 4, 22 } } },
	{ "header length 96", { { 100, 4, 96 } } },
	{ "header length 108", { { 100, 4, 108 } } },
	{ "header length 65544", { { 100, 4, 65544 } } },
	{ "refcount order 7", { { 96, 4, 7 } } },
	{ "external data file", { { 72, 8, INCOMPAT_DATA_FILE } } },
	{ "raw external data file", { { 88, 8, AUTOCLEAR_RAW_DATA_FILE } } },
	{ "marked as corrupt (qemu-img check -r", { { 72, 8, INCOMPAT_CORRUPT } } },
	{ "unknown incompatible features 0x20", { { 72, 8, 0x20 } } },
	{ "unknown incompatible features 0x8000000000000000", { { 72, 8, UINT64_C(1) << 63 } } },
	{ "extended L2 entries", { { 72, 8, INCOMPAT_EXTENDED_L2 }, { 20, 4, 13 } } },
	{ "compression type", { { 72, 8, INCOMPAT_COMPRESSION } } },
	{ "compression type", { { 104, 1, 1 } } },
	{ "crypt method: the old AES", { { 32, 4, 1 } } },
	{ "crypt method 3", { { 32, 4, 3 } } },
	{ "crypt method and encryption header", { { 32, 4, 0 } } },
	{ "crypt method and encryption header", { { LUKS_EXT, 4, 0 } } },
	{ "L1 size 4194305 is too large", { { 36, 4, 4194305 } } },
	{ "L1 size 1 is too small", { { 36, 4, 1 } } },
	{ "L1 size 2 is too small", { { 24, 8, UINT64_MAX } } },
	{ "L1 table: offset is not aligned", { { 40, 8, L1_AT + 512 } } },
	{ "L1 table: overlaps the header", { { 40, 8, 0 } } },
	{ "L1 table: is outside the file", { { 40, 8, 36 * CLUSTER } } },
	{ "L1 table: is outside the file", { { 40, 8, UINT64_MAX - CLUSTER + 1 } } },
	{ "L1 table and refcount table overlap", { { 40, 8, CLUSTER } } },
	{ "L1 table and LUKS header overlap", { { 40, 8, 34 * CLUSTER } } },
	{ "refcount table of 0 clusters", { { 56, 4, 0 } } },
	{ "refcount table of 129 clusters", { { 56, 4, 129 } } },
	{ "refcount table of 4294967295 clusters", { { 56, 4, UINT32_MAX } } },
	{ "refcount table: offset is not aligned", { { 48, 8, CLUSTER + 8 } } },
	{ "refcount table: overlaps the header", { { 48, 8, 0 } } },
	{ "refcount table: is outside the file", { { 48, 8, 4096 * CLUSTER } } },
	{ "number of snapshots 65537", { { 60, 4, 65537 } } },
	{ "snapshot table: offset is not aligned", { { 60, 4, 1 }, { 64, 8, 1 } } },
	{ "snapshot table: overlaps the header", { { 60, 4, 1 }, { 64, 8, 0 } } },
	{ "snapshot table: is outside the file", { { 60, 4, 1 }, { 64, 8, 36 * CLUSTER } } },
	{ "L1 table and snapshot table overlap", { { 60, 4, 1 }, { 64, 8, L1_AT } } },
	{ "encryption header extension has a wrong length", { { LUKS_EXT_LEN, 4, 8 } } },
	{ "encryption header extension appears twice",
	  { { AFTER_EXT, 4, EXT_LUKS }, { AFTER_EXT + 4, 4, 16 } } },
	{ "LUKS header length 591", { { LUKS_LENGTH, 8, 591 } } },
	{ "LUKS header length 67108865", { { LUKS_LENGTH, 8, 64 * MIB + 1 } } },
	{ "LUKS header length 18446744073709551615", { { LUKS_LENGTH, 8, UINT64_MAX } } },
	{ "LUKS header: offset is not aligned", { { LUKS_OFFSET, 8, 3 * CLUSTER + 1 } } },
	{ "LUKS header: overlaps the header", { { LUKS_OFFSET, 8, 0 } } },
	{ "LUKS header: is outside the file", { { LUKS_OFFSET, 8, 5 * CLUSTER } } },
	{ "LUKS header: is outside the file", { { LUKS_OFFSET, 8, UINT64_MAX - CLUSTER + 1 } } },
	{ "refcount table and LUKS header overlap", { { LUKS_OFFSET, 8, CLUSTER } } },
	{ "header extension 0x12345678 overruns",
	  { { AFTER_EXT, 4, 0x12345678 }, { AFTER_EXT + 4, 4, UINT32_MAX } } },
	{ "header extension 0x12345678 overruns",
	  { { AFTER_EXT, 4, 0x12345678 }, { AFTER_EXT + 4, 4, CLUSTER - AFTER_EXT - 7 } } },
	{ "external data file", { { AFTER_EXT, 4, EXT_DATA_FILE }, { AFTER_EXT + 4, 4, 8 } } },
	{ "bitmaps extension appears twice",
	  { { AFTER_EXT, 4, EXT_BITMAPS }, { AFTER_EXT + 4, 4, 24 }, { AFTER_EXT + 32, 4, EXT_BITMAPS } } },
	{ "bitmaps extension has a wrong length", { { AFTER_EXT, 4, EXT_BITMAPS }, { AFTER_EXT + 4, 4, 16 } } },
	{ "bitmaps extension: a reserved field",
		  { { 88, 8, 1 }, { AFTER_EXT, 8, BITMAPS_24 }, { AFTER_EXT + 12, 4, 1 } } },
	{ "0 bitmaps in a directory", { { 88, 8, 1 }, { AFTER_EXT, 8, BITMAPS_24 } } },
	{ "2 bitmaps in a directory of 24 bytes",
	  { { 88, 8, 1 }, { AFTER_EXT, 8, BITMAPS_24 }, { AFTER_EXT + 8, 4, 2 }, { AFTER_EXT + 16, 8, 24 } } },
	{ "L1 table and bitmap directory overlap",
	  { { 88, 8, 1 }, { AFTER_EXT, 8, BITMAPS_24 }, { AFTER_EXT + 8, 4, 1 }, { AFTER_EXT + 16, 8, 24 },
	    { AFTER_EXT + 24, 8, L1_AT } } },
	{ "backing name: offset is outside", { { 8, 8, CLUSTER + 1 } } },
	{ "backing name: offset is outside", { { 8, 8, 104 } } },
	{ "backing name: length 1 is too large", { { 8, 8, CLUSTER }, { 16, 4, 1 } } },
}, backing_refusals[] = {
	{ "backing name: length 1024", { { 16, 4, 1024 } } },
	{ "backing name: has a zero byte", { { NAME + 2, 1, 0 } } },
	{ "is empty", { { 16, 4, 0 } } },
	{ "has control characters", { { NAME + 2, 1, 27 } } },
	{ "is not a plain path", { { NAME + 2, 1, ':' } } },
	{ "backing format has a wrong length", { { FORMAT_LEN, 4, 0 } } },
	{ "backing format has a wrong length", { { FORMAT_LEN, 4, 16 }, { FORMAT_NAME + 16, 4, 0 } } },
	{ "backing format is not the name", { { FORMAT_NAME + 1, 1, ':' } } },
	{ "backing format is not the name", { { FORMAT_NAME + 1, 1, 0 } } },
	{ "backing format extension appears twice",
	  { { LUKS_EXT_2, 4, EXT_BACKING_FORMAT }, { LUKS_EXT_2 + 4, 4, 5 },
	    { LUKS_EXT_2 + 8, 8, UINT64_C(0x7261770000000000) } } },
};

static void check_refusals(const struct refusal *list, size_t n, const char *backing)
{
	struct fixture f = image(backing);
	struct qcow2_header h;
	unsigned char *bytes = malloc(CLUSTER);
	for (size_t i = 0; i < n; i++) {
		memcpy(bytes, f.bytes, CLUSTER);
		for (size_t j = 0; j < ARRAY_LEN(list[i].patch); j++)
			apply(bytes, &list[i].patch[j]);
		memset(&err, 0, sizeof(err));
		if (qcow2_parse(bytes, CLUSTER, f.file_size, "image", &h, &err) >= 0)
			fail_msg("not refused: %s", list[i].why);
		if (err.kind != ERROR_DAMAGED || !strstr(err.message, list[i].why) ||
		    strncmp(err.message, "image: qcow2 header: ", 21))
			fail_msg("'%s' instead of '%s'", err.message, list[i].why);
	}
	free(bytes);
	free(f.bytes);
}

static void every_refusal_names_its_field(void **state)
{
	(void)state;
	check_refusals(refusals, ARRAY_LEN(refusals), NULL);
	check_refusals(backing_refusals, ARRAY_LEN(backing_refusals), "dir/base.qcow2");
}

static void backing_names_must_be_plain_paths(void **state)
{
	(void)state;
	static const char *const bad[] = { "json:{\"driver\":\"null\"}", "nbd:localhost:10809",
					   "nbd+unix:///x?socket=/s", "host_device:/dev/sda", "fat:rw:/",
					   "file:x", "ssh://host/x", ":x" };
	static const char *const good[] = { "base.qcow2", "/images/a:b", "./json:{}", "a/nbd:b",
					    "\xc3\xa4.raw", "\xe6\x97\xa5.raw", "\xf0\x9f\x8e\x89.raw" };
	static const char *const not_utf8[] = { "\xe4.raw", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
						"\x80", "a\xe6\x97" };
	struct fixture f = image("0123456789012345678901234567890123456789");
	struct qcow2_header h;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memcpy(f.bytes + NAME, bad[i], strlen(bad[i]));
		put_be32(f.bytes + HDR_BACKING_SIZE, (uint32_t)strlen(bad[i]));
		assert_fails(qcow2_parse(f.bytes, CLUSTER, f.file_size, "image", &h, &err),
			     ERROR_DAMAGED, "plain path");
	}
	for (size_t i = 0; i < ARRAY_LEN(not_utf8); i++) {
		memcpy(f.bytes + NAME, not_utf8[i], strlen(not_utf8[i]));
		put_be32(f.bytes + HDR_BACKING_SIZE, (uint32_t)strlen(not_utf8[i]));
		assert_fails(qcow2_parse(f.bytes, CLUSTER, f.file_size, "image", &h, &err),
			     ERROR_DAMAGED, "UTF-8");
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		memcpy(f.bytes + NAME, good[i], strlen(good[i]));
		put_be32(f.bytes + HDR_BACKING_SIZE, (uint32_t)strlen(good[i]));
		assert_ok(qcow2_parse(f.bytes, CLUSTER, f.file_size, "image", &h, &err));
		assert_string_equal(h.backing, good[i]);
		assert_string_equal(h.backing_format, "qcow2");
	}
	free(f.bytes);
}

static void short_files_are_refused(void **state)
{
	(void)state;
	struct fixture f = image(NULL);
	struct qcow2_header h;
	for (size_t len = 0; len < 256; len++) {
		/* A buffer of just that size, so that ASan sees any read behind it. */
		unsigned char *cut = malloc(len ? len : 1);
		memcpy(cut, f.bytes, len);
		assert_fails(qcow2_parse(cut, len, len, "image", &h, &err), ERROR_DAMAGED, "header");
		free(cut);
	}
	free(f.bytes);
}

static void harmless_features_are_accepted(void **state)
{
	(void)state;
	static const struct patch fine[][3] = {
		{ { 72, 8, INCOMPAT_DIRTY }, { 80, 8, 1 } },		/* lazy refcounts */
		{ { 72, 8, INCOMPAT_COMPRESSION }, { 104, 1, 1 } },	/* zstd */
		{ { 80, 8, 1024 } },					/* unknown compatible */
		{ { 88, 8, 1024 } },					/* unknown autoclear */
		{ { AFTER_EXT, 4, 0x6803f857 }, { AFTER_EXT + 4, 4, 48 } },	/* feature names */
		{ { AFTER_EXT, 4, 0x12345678 }, { AFTER_EXT + 4, 4, CLUSTER - AFTER_EXT - 8 } },
		{ { 72, 8, INCOMPAT_EXTENDED_L2 }, { 24, 8, GIB / 2 } },
	};
	struct fixture f = image(NULL);
	struct qcow2_header h;
	unsigned char *bytes = malloc(CLUSTER);
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		memcpy(bytes, f.bytes, CLUSTER);
		for (size_t j = 0; j < ARRAY_LEN(fine[i]); j++)
			apply(bytes, &fine[i][j]);
		assert_ok(qcow2_parse(bytes, CLUSTER, f.file_size, "image", &h, &err));
	}
	free(bytes);
	free(f.bytes);
}

static void a_written_image_reads_back(void **state)
{
	(void)state;
	struct fixture f = image("base");
	struct qcow2_header h = { 0 };
	AUTOCLOSE int fd = open(in_dir("image"), O_RDONLY | O_CLOEXEC);
	assert_ok(qcow2_read(fd, f.file_size, "image", &h, &err));
	assert_int_equal(h.version, 3);
	assert_int_equal(h.size, GIB);
	assert_int_equal(h.cluster_bits, 16);
	assert_int_equal(h.refcount_bits, 16);
	assert_int_equal(h.crypt, QCOW2_CRYPT_LUKS);
	assert_int_equal(h.luks_offset, 3 * CLUSTER);
	assert_int_equal(h.luks_length, LUKS_LEN);
	assert_int_equal(h.l1_offset, L1_AT);
	assert_string_equal(h.backing, "base");
	free(f.bytes);
}

static void the_largest_sizes_are_those_of_qemu(void **state)
{
	(void)state;
	/* What `qemu-img create` of 7.2 takes; one cluster more it refuses. */
	assert_int_equal(qcow2_max_size(512, false), 128 * GIB);
	assert_int_equal(qcow2_max_size(65536, false), UINT64_C(2) << 50);
	assert_int_equal(qcow2_max_size(2097152, false), UINT64_C(2) << 60);
	assert_int_equal(qcow2_max_size(2097152, true), UINT64_C(1) << 60);
}

static void bad_parameters_are_refused_before_the_first_byte(void **state)
{
	(void)state;
	static char long_name[2048], name_353[354];
	memset(long_name, 'x', 1024);
	memset(name_353, 'x', 353);
	const struct {
		struct qcow2_params p;
		const char *why;
	} bad[] = {
		{ { .size = GIB, .cluster_size = 256 }, "cluster size" },
		{ { .size = GIB, .cluster_size = 4 * MIB }, "cluster size" },
		{ { .size = GIB, .cluster_size = 3000 }, "cluster size" },
		{ { .size = GIB }, "cluster size" },
		{ { .size = GIB, .cluster_size = 8192, .extended_l2 = true }, "extended L2" },
		{ { .size = GIB, .cluster_size = 65536, .refcount_bits = 3 }, "refcount bits" },
		{ { .size = GIB, .cluster_size = 65536, .refcount_bits = 128 }, "refcount bits" },
		{ { .size = 0, .cluster_size = 65536 }, "size of a disk" },
		{ { .size = 1000, .cluster_size = 65536 }, "size of a disk" },
		{ { .size = 128 * GIB + 512, .cluster_size = 512 }, "at most 137438953472 bytes" },
		{ { .size = UINT64_MAX - 511, .cluster_size = 2 * MIB }, "at most" },
		{ { .size = (UINT64_C(1) << 60) + 512, .cluster_size = 2 * MIB, .extended_l2 = true },
		  "and extended L2 entries" },
		{ { .size = GIB, .cluster_size = 65536, .backing = "b" }, "format of the backing file" },
		{ { .size = GIB, .cluster_size = 65536, .backing = "b", .backing_format = "vmdk" },
		  "format of the backing file" },
		{ { .size = GIB, .cluster_size = 65536, .backing_format = "raw" },
		  "without a backing file" },
		{ { .size = GIB, .cluster_size = 65536, .backing = "nbd:x", .backing_format = "raw" },
		  "plain path" },
		{ { .size = GIB, .cluster_size = 65536, .backing = "", .backing_format = "raw" }, "empty" },
		{ { .size = GIB, .cluster_size = 65536, .backing = long_name, .backing_format = "raw" },
		  "1024 bytes; 1023 are possible" },
		{ { .size = GIB, .cluster_size = 512, .backing = name_353, .backing_format = "raw" },
		  "353 bytes; 352 are possible" },
		{ { .size = GIB, .cluster_size = 65536, .backing = "b", .backing_format = "raw",
		    .prealloc = QCOW2_PREALLOC_METADATA }, "cannot be preallocated" },
		{ { .size = 128 * GIB, .cluster_size = 512, .refcount_bits = 64,
		    .prealloc = QCOW2_PREALLOC_METADATA }, "larger clusters or fewer refcount bits" },
	};
	uint64_t offset = 7;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct stat st;
		AUTOCLOSE int fd = open(in_dir("image"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_fails(qcow2_write(fd, &bad[i].p, LUKS_LEN, NULL, &offset, &err),
			     ERROR_USAGE, bad[i].why);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 0);
		assert_int_equal(offset, 7);
	}
}

static void an_existing_file_is_not_overwritten(void **state)
{
	(void)state;
	const struct qcow2_params p = { .size = GIB, .cluster_size = CLUSTER };
	uint64_t offset;
	write_whole(in_dir("full"), "data", 4);
	AUTOCLOSE int fd = open(in_dir("full"), O_RDWR | O_CLOEXEC);
	assert_fails(qcow2_write(fd, &p, LUKS_LEN, NULL, &offset, &err), ERROR_USAGE,
		     "new, empty file");
}

static int stop_at_half(void *context, const char *what, uint64_t done, uint64_t total)
{
	(void)what;
	*(uint64_t *)context = done;
	return done >= total / 2;
}

static void a_full_preallocation_can_be_stopped(void **state)
{
	(void)state;
	const struct qcow2_params p = { .size = 16 * MIB, .cluster_size = CLUSTER,
					.prealloc = QCOW2_PREALLOC_FULL };
	uint64_t offset, seen = 0;
	const struct progress progress = { stop_at_half, &seen };
	AUTOCLOSE int fd = open(in_dir("image"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_fails(qcow2_write(fd, &p, LUKS_LEN, &progress, &offset, &err),
		     ERROR_FAILED, "cancelled");
	assert_int_equal(seen, 8 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_names_its_field),
		cmocka_unit_test(backing_names_must_be_plain_paths),
		cmocka_unit_test(short_files_are_refused),
		cmocka_unit_test(harmless_features_are_accepted),
		cmocka_unit_test(a_written_image_reads_back),
		cmocka_unit_test(the_largest_sizes_are_those_of_qemu),
		cmocka_unit_test(bad_parameters_are_refused_before_the_first_byte),
		cmocka_unit_test(an_existing_file_is_not_overwritten),
		cmocka_unit_test(a_full_preallocation_can_be_stopped),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
