/* The copy under another volume key, and the proof of it: one byte that is wrong anywhere is found. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"
#include "lib/image/qcow2/format.h"
#include "lib/image/recrypt/recrypt.h"

#define CLUSTER 65536u

static struct error err;

/* An image and the copy that is made of it. */
struct pair {
	int fd[2];
	const char *path[2];
	struct secret *key[2];
	struct qcow2_header h[2];
	struct qcow2_map map[2];
	struct recrypt job;
};

static void read_map(struct pair *p, int i)
{
	uint64_t size;
	assert_ok(file_size(p->fd[i], p->path[i], &size, &err));
	assert_ok(qcow2_read(p->fd[i], size, p->path[i], &p->h[i], &err));
	qcow2_map_clear(&p->map[i]);
	assert_ok(qcow2_map_read(p->fd[i], size, p->path[i], &p->h[i], &p->map[i], &err));
}

static void make(struct pair *p, enum qcow2_prealloc prealloc)
{
	const struct qcow2_params params = { .size = 8 * MIB, .cluster_size = CLUSTER, .prealloc = prealloc };
	uint64_t offset;
	*p = (struct pair){ .path = { in_dir("image"), in_dir("copy") } };
	for (int i = 0; i < 2; i++) {
		AUTOLUKS struct luks *l = luks_of(1, "pass", &p->key[i]);
		p->fd[i] = open(p->path[i], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(p->fd[i] >= 0);
		if (i == 0)
			assert_ok(qcow2_write(p->fd[i], &params, luks_len(l), NULL, &offset, &err));
		assert_ok(luks_write_used(l, 0, luks_len(l), p->fd[i], offset, p->path[i], &err));
	}
	assert_int_equal(qemu_io(p->path[0], "qcow2", "pass", "write -P 90 1000k 2M"), 0);
	/* As QEMU ends a file: with a table, at an odd length. */
	assert_int_equal(pwrite(p->fd[0], "an odd end", 10, lseek(p->fd[0], 0, SEEK_END)), 10);
	read_map(p, 0);
	assert_int_equal(ftruncate(p->fd[1], (off_t)p->map[0].file_size), 0);
	p->job = (struct recrypt){
		.from = { p->fd[0], p->path[0], p->key[0] }, .to = { p->fd[1], p->path[1], p->key[1] },
		.size = p->map[0].file_size, .sector_size = 512, .header_offset = offset,
		.header_length = p->h[0].luks_length, .map = &p->map[0], .fresh = true,
	};
}

static void copy(struct pair *p)
{
	uint64_t kept;
	assert_ok(recrypt_run(&p->job, &kept, &err));
	read_map(p, 1);
}

static int proof(struct pair *p)
{
	const struct qcow2_side image = { p->fd[0], p->path[0], &p->h[0], &p->map[0] };
	const struct qcow2_side twin = { p->fd[1], p->path[1], &p->h[1], &p->map[1] };
	int r = qcow2_compare_tables(&image, &twin, &err);
	return r < 0 ? r : recrypt_sample(&p->job, &image, &twin, &err);
}

static void clear(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		close(p->fd[i]);
		secret_free(p->key[i]);
		qcow2_map_clear(&p->map[i]);
	}
}

static void every_byte_is_copied_and_proven(void **state)
{
	(void)state;
	struct pair p;
	make(&p, QCOW2_PREALLOC_OFF);
	copy(&p);
	assert_ok(proof(&p));
	char end[10];
	assert_int_equal(pread(p.fd[1], end, sizeof(end), (off_t)p.map[0].file_size - 10), 10);
	assert_memory_equal(end, "an odd end", 10);
	assert_int_equal(qemu_io(p.path[1], "qcow2", "pass", "read -P 90 1000k 2M"), 0);
	assert_null(strstr(tool_output, "failed"));
	clear(&p);
}

static void flip(const struct pair *p, uint64_t at, uint64_t len)
{
	for (unsigned char byte; len--; at++) {
		assert_int_equal(pread(p->fd[1], &byte, 1, (off_t)at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(p->fd[1], &byte, 1, (off_t)at), 1);
	}
}

static uint64_t entry_of(const struct pair *p, uint64_t table, unsigned n)
{
	unsigned char b[8];
	assert_int_equal(pread(p->fd[0], b, sizeof(b), (off_t)(table + 8 * n)), 8);
	return get_be64(b) & ENTRY_OFFSET;
}

static void a_wrong_byte_in_any_table_is_found(void **state)
{
	(void)state;
	struct pair p;
	make(&p, QCOW2_PREALLOC_OFF);
	copy(&p);
	uint64_t l2 = entry_of(&p, p.h[0].l1_offset, 0), block = entry_of(&p, p.h[0].refcount_offset, 0);
	const uint64_t places[] = { 300, p.h[0].l1_offset + 4000, p.h[0].refcount_offset + 9, block + 3,
				    l2 + CLUSTER - 1 };
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		flip(&p, places[i], 1);
		assert_fails(proof(&p), ERROR_FAILED, "differs from the image in a table");
		flip(&p, places[i], 1);
		assert_ok(proof(&p));
	}
	clear(&p);
}

static void wrong_guest_data_is_found(void **state)
{
	(void)state;
	struct pair p;
	make(&p, QCOW2_PREALLOC_OFF);
	copy(&p);
	uint64_t data = entry_of(&p, entry_of(&p, p.h[0].l1_offset, 0), 20);
	assert_true(data && qcow2_map_is_data(&p.map[0], data));
	flip(&p, data, CLUSTER);
	assert_fails(proof(&p), ERROR_FAILED, "has other data");
	/* The old ciphertext is not the new. */
	unsigned char *old = malloc(CLUSTER);
	assert_int_equal(pread(p.fd[0], old, CLUSTER, (off_t)data), CLUSTER);
	assert_int_equal(pwrite(p.fd[1], old, CLUSTER, (off_t)data), CLUSTER);
	free(old);
	assert_fails(proof(&p), ERROR_FAILED, "has other data");
	/* An L2 entry less: then the maps differ. */
	unsigned char none[8] = { 0 };
	uint64_t l2 = entry_of(&p, p.h[0].l1_offset, 0);
	assert_int_equal(pwrite(p.fd[1], none, 8, (off_t)l2 + 8 * 20), 8);
	read_map(&p, 1);
	assert_fails(proof(&p), ERROR_FAILED, "has not its data where the image has it");
	clear(&p);
}

/* An interrupted run wrote what the image has no more: a hole must be one in the copy. */
static void a_resumed_copy_has_nothing_of_before(void **state)
{
	(void)state;
	struct pair p;
	unsigned char was[CLUSTER];
	make(&p, QCOW2_PREALLOC_METADATA);
	uint64_t hole = entry_of(&p, entry_of(&p, p.h[0].l1_offset, 0), 100);
	memset(was, 0x77, sizeof(was));
	assert_int_equal(pwrite(p.fd[1], was, sizeof(was), (off_t)hole), sizeof(was));
	p.job.fresh = false;
	copy(&p);
	assert_ok(proof(&p));
	assert_int_equal(pread(p.fd[1], was, sizeof(was), (off_t)hole), sizeof(was));
	assert_true(bytes_are_zero(was, sizeof(was)));
	/* Where nobody clears it, it is found. */
	assert_int_equal(ftruncate(p.fd[1], 0), 0);
	assert_int_equal(ftruncate(p.fd[1], (off_t)p.map[0].file_size), 0);
	memset(was, 0x77, sizeof(was));
	assert_int_equal(pwrite(p.fd[1], was, sizeof(was), (off_t)hole), sizeof(was));
	p.job.fresh = true;
	uint64_t kept;
	assert_fails(recrypt_run(&p.job, &kept, &err), ERROR_FAILED, "where the image has none");
	clear(&p);
}

/* A table that lies upon another, upon guest data or outside: nobody could say what a byte is. */
static void what_is_ambiguous_has_no_map(void **state)
{
	(void)state;
	struct pair p;
	make(&p, QCOW2_PREALLOC_OFF);
	const uint64_t file = p.map[0].file_size, l1 = p.h[0].l1_offset, l2 = entry_of(&p, l1, 0);
	const uint64_t data = entry_of(&p, l2, 20);
	const struct {
		uint64_t at, value;
		const char *why;
	} bad[] = {
		{ l2, l2, "guest data lies upon a table" },
		{ l2, l1, "guest data lies upon a table" },
		{ l2, p.h[0].luks_offset + CLUSTER, "guest data lies upon a table or header" },
		{ l2, data + 512, "not at a cluster's start" },
		{ l2, (file + 4 * CLUSTER) / CLUSTER * CLUSTER, "guest data lies outside the file" },
		{ l2, file / CLUSTER * CLUSTER, "cut off at the end" },
		{ l1, l1, "an L2 table lies upon another table" },
		{ l1, data, "guest data" },
		{ l1, file / CLUSTER * CLUSTER, "an L2 table lies outside the file" },
		{ p.h[0].refcount_offset + 8, l2, "a refcount block lies upon another table" },
		{ p.h[0].refcount_offset + 8, data, "guest data lies upon a table" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct qcow2_map map;
		unsigned char was[8], now[8];
		put_be64(now, bad[i].value);
		assert_int_equal(pread(p.fd[0], was, 8, (off_t)bad[i].at), 8);
		assert_int_equal(pwrite(p.fd[0], now, 8, (off_t)bad[i].at), 8);
		/* An L2 table of guest data: noise, which is refused one way or another. */
		if (bad[i].at == l1 && bad[i].value == data)
			assert_true(qcow2_map_read(p.fd[0], file, "image", &p.h[0], &map, &err) < 0);
		else
			assert_fails(qcow2_map_read(p.fd[0], file, "image", &p.h[0], &map, &err), ERROR_DAMAGED,
				     bad[i].why);
		assert_int_equal(pwrite(p.fd[0], was, 8, (off_t)bad[i].at), 8);
	}
	read_map(&p, 0);
	clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_copied_and_proven),
		cmocka_unit_test(a_wrong_byte_in_any_table_is_found),
		cmocka_unit_test(wrong_guest_data_is_found),
		cmocka_unit_test(a_resumed_copy_has_nothing_of_before),
		cmocka_unit_test(what_is_ambiguous_has_no_map),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
