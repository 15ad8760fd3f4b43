/*
 * Containers: opening, refusing, changing. Every change is also played as a power cut: the
 * writes are recorded, and after each one, with any subset of what no sync had covered, some
 * known passphrase must open the volume.
 */
#include "tests/unit/image_util.h"

#include "lib/image/file/lock.h"

#include <sys/syscall.h>
#include <sys/time.h>

static struct error err;

/* --- The recorder: this program's pwrite() and fsync() take the place of libc's. --- */

struct op {
	bool sync;
	uint64_t offset;
	size_t len;
	unsigned char *bytes;
};

static struct {
	bool on;
	ino_t ino;		/* of the image; libcryptsetup writes to its memfd */
	struct op ops[256];
	size_t n;
	int calls, fail_at, fail_with;	/* the fail_at-th write or sync fails */
} recorder;

static bool recorded(int fd)
{
	struct stat st;
	return recorder.on && fstat(fd, &st) == 0 && st.st_ino == recorder.ino;
}

static bool must_fail(void)
{
	if (++recorder.calls != recorder.fail_at)
		return false;
	errno = recorder.fail_with;
	return true;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	if (recorded(fd)) {
		if (must_fail())
			return -1;
		struct op *op = &recorder.ops[recorder.n++];
		assert_true(recorder.n < ARRAY_LEN(recorder.ops));
		*op = (struct op){ .offset = (uint64_t)offset, .len = len, .bytes = malloc(len) };
		memcpy(op->bytes, buf, len);
	}
	return syscall(SYS_pwrite64, fd, buf, len, offset);
}

int fsync(int fd)
{
	if (recorded(fd)) {
		if (must_fail())
			return -1;
		recorder.ops[recorder.n++] = (struct op){ .sync = true };
	}
	return (int)syscall(SYS_fsync, fd);
}

static void record(const char *path, int fail_at, int fail_with)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	recorder.on = true;
	recorder.ino = st.st_ino;
	recorder.calls = 0;
	recorder.fail_at = fail_at;
	recorder.fail_with = fail_with;
}

static void forget(void)
{
	for (size_t i = 0; i < recorder.n; i++)
		free(recorder.ops[i].bytes);
	memset(&recorder, 0, sizeof(recorder));
}

/* --- Helpers --- */

static bool opens(const char *path, const char *passphrase)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *s = secret_of(passphrase);
	if (container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, NULL) < 0)
		return false;
	return luks_unlock(container_luks(c), -1, s, NULL, NULL, NULL) == 0;
}

enum kind { RAW1, RAW2, QCOW2_64K, QCOW2_512, N_KINDS };

static const char *make(enum kind kind)
{
	static const char *const names[] = { "raw1", "raw2", "64k.qcow2", "512.qcow2" };
	const char *path = in_dir(names[kind]);
	const struct qcow2_params p = { .size = MIB, .cluster_size = kind == QCOW2_512 ? 512 : 65536 };
	if (kind == RAW1 || kind == RAW2)
		make_raw(path, kind == RAW1 ? 1 : 2, MIB, "old");
	else
		make_qcow2(path, &p, "old");
	return path;
}

static struct container *open_to_change(const char *path, struct secret **ret_key)
{
	AUTOSECRET struct secret *old = secret_of("old");
	struct container *c = NULL;
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &err));
	assert_ok(luks_unlock(container_luks(c), -1, old, NULL, ret_key, &err));
	return c;
}

static void add_new(struct container *c, const struct secret *key)
{
	AUTOSECRET struct secret *new = secret_of("new");
	assert_ok(luks_add_keyslot(container_luks(c), -1, key, new, LUKS_KDF_GENERATED, NULL, &err));
}

/* --- Tests --- */

static void what_is_in_a_container(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		AUTOCONTAINER struct container *c = NULL;
		const char *path = make((enum kind)kind);
		assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err));
		const struct container_info *i = container_info(c);
		assert_int_equal(i->size, MIB);
		assert_int_equal(i->format, kind <= RAW2 ? IMAGE_FORMAT_RAW : IMAGE_FORMAT_QCOW2);
		assert_int_equal(i->header_length, kind == RAW2 ? LUKS2_DATA_OFFSET : 2 * MIB);
		assert_true(kind <= RAW2 ? i->header_offset == 0 : i->header_offset > 0);
		assert_int_equal(luks_info(container_luks(c))->version, kind == RAW2 ? 2 : 1);
	}
	assert_string_equal(image_format_name(IMAGE_FORMAT_QCOW2), "qcow2");
}

static void a_passphrase_is_rotated_on_disk(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		assert_ok(container_write_back(c, &err));	/* nothing changed: nothing written */
		add_new(c, key);
		assert_false(opens(path, "new"));
		assert_ok(container_write_back(c, &err));
		assert_true(opens(path, "new") && opens(path, "old"));
		assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
		assert_ok(container_write_back(c, &err));
		assert_true(opens(path, "new") && !opens(path, "old"));
	}
}

static void add_and_remove_in_one_write_is_ordered_too(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		add_new(c, key);
		assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
		assert_ok(container_write_back(c, &err));
		assert_true(opens(path, "new") && !opens(path, "old"));
	}
}

static void the_old_key_material_is_gone(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		const struct luks_keyslot k = luks_info(container_luks(c))->keyslots[0];
		uint64_t at = container_info(c)->header_offset + k.key_offset;
		size_t len, same = 0;
		AUTOFREE unsigned char *before = read_whole(path, &len);
		add_new(c, key);
		assert_ok(container_write_back(c, &err));
		assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
		assert_ok(container_write_back(c, &err));
		AUTOFREE unsigned char *after = read_whole(path, &len);
		for (size_t i = 0; i + 16 <= k.key_length; i += 16)
			same += !memcmp(before + at + i, after + at + i, 16);
		assert_int_equal(same, 0);
	}
}

static void a_keyslot_replaced_in_place_is_refused(void **state)
{
	(void)state;
	const char *path = make(QCOW2_64K);
	AUTOSECRET struct secret *key = NULL, *third = secret_of("third");
	AUTOCONTAINER struct container *c = open_to_change(path, &key);
	add_new(c, key);
	assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
	assert_ok(luks_add_keyslot(container_luks(c), 0, key, third, LUKS_KDF_GENERATED, NULL, &err));
	assert_fails(container_write_back(c, &err), ERROR_FAILED, "write back in between");
	assert_true(opens(path, "old"));
}

static void another_programs_change_is_not_overwritten(void **state)
{
	(void)state;
	const char *path = make(RAW1);
	AUTOSECRET struct secret *key = NULL;
	AUTOCONTAINER struct container *c = open_to_change(path, &key);
	add_new(c, key);
	AUTOCLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_ok(file_pwrite(fd, "x", 1, 300000, path, &err));
	assert_fails(container_write_back(c, &err), ERROR_BUSY, "another program changed");
	assert_true(opens(path, "old"));
}

/* --- Power cuts --- */

/* The image as a disk could hold it: `done` operations lasting, of the rest of the sync window
 * those whose bit is set, the last of these cut off after `torn` sectors if that is not 0. */
static void write_state(const char *path, const unsigned char *base, size_t len, size_t done,
			unsigned mask, size_t torn)
{
	AUTOFREE unsigned char *bytes = malloc(len);
	memcpy(bytes, base, len);
	for (size_t i = 0; i < recorder.n; i++) {
		const struct op *op = &recorder.ops[i];
		bool lasting = i < done;
		if (!lasting && (op->sync || i - done >= 32 || !(mask >> (i - done) & 1)))
			continue;
		if (op->sync)
			continue;
		size_t n = op->len;
		if (!lasting && torn && torn * 512 < n)
			n = torn * 512;
		memcpy(bytes + op->offset, op->bytes, n);
	}
	write_whole(path, bytes, len);
}

static size_t window_end(size_t from)
{
	while (from < recorder.n && !recorder.ops[from].sync)
		from++;
	return from;
}

/* Some passphrase opens it, and every keyslot that the header names has its key material: the
 * old passphrase has keyslot 0, the new one 1. */
static bool state_is_good(const char *path)
{
	static const char *const passphrases[] = { "old", "new" };
	AUTOCONTAINER struct container *c = NULL;
	int active = 0;
	if (container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, NULL) < 0)
		return false;
	for (int slot = 0; slot < 2; slot++) {
		AUTOSECRET struct secret *s = secret_of(passphrases[slot]);
		if (!luks_info(container_luks(c))->keyslots[slot].active)
			continue;
		active++;
		if (luks_unlock(container_luks(c), slot, s, NULL, NULL, NULL) < 0)
			return false;
	}
	return active > 0;
}

static unsigned power_cuts(const char *path, const unsigned char *base, size_t len)
{
	const char *cut = in_dir("cut");
	unsigned states = 0;
	for (size_t start = 0; start <= recorder.n; start = window_end(start) + 1) {
		size_t n = window_end(start) - start;
		unsigned masks = n < 5 ? 1u << n : 32;
		for (unsigned mask = 0; mask < masks; mask++)
			for (size_t torn = 0; torn <= (mask ? 2 : 0); torn++) {
				write_state(cut, base, len, start, mask, torn);
				if (!state_is_good(cut))
					fail_msg("%s: after operation %zu, mask %x, torn %zu", path,
						 start, mask, torn);
				states++;
			}
	}
	return states;
}

static void a_power_cut_leaves_a_key_that_opens(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		size_t len;
		AUTOFREE unsigned char *base = read_whole(path, &len);
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		record(path, 0, 0);
		add_new(c, key);
		assert_ok(container_write_back(c, &err));
		assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
		assert_ok(container_write_back(c, &err));
		recorder.on = false;
		unsigned states = power_cuts(path, base, len);
		print_message("%s: %zu operations, %u states after a power cut\n", path, recorder.n, states);
		assert_true(recorder.n >= 8 && states >= 16);
		forget();
	}
}

/* Adding and removing at once is no different. */
static void a_power_cut_in_a_combined_change(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		size_t len;
		AUTOFREE unsigned char *base = read_whole(path, &len);
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		record(path, 0, 0);
		add_new(c, key);
		assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
		assert_ok(container_write_back(c, &err));
		recorder.on = false;
		power_cuts(path, base, len);
		forget();
	}
}

static void a_failed_write_can_be_repeated(void **state)
{
	(void)state;
	static const int codes[] = { EIO, ENOSPC };
	for (int kind = 0; kind < N_KINDS; kind++) {
		int injected = 0;
		for (int at = 1;; at++) {
			const char *path = make((enum kind)kind);
			AUTOSECRET struct secret *key = NULL;
			AUTOCONTAINER struct container *c = open_to_change(path, &key);
			add_new(c, key);
			assert_ok(luks_remove_keyslot(container_luks(c), 0, &err));
			record(path, at, codes[at % 2]);
			int r = container_write_back(c, &err);
			bool hit = recorder.calls >= at;
			forget();
			if (!hit) {
				assert_true(r == 0);
				break;
			}
			injected++;
			assert_int_equal(r, -codes[at % 2]);
			assert_true(opens(path, "old") || opens(path, "new"));
			assert_ok(container_write_back(c, &err));
			assert_true(opens(path, "new") && !opens(path, "old"));
		}
		assert_true(injected >= 6);
	}
}

/* --- Erasing --- */

static void erased_means_nothing_opens_it(void **state)
{
	(void)state;
	for (int kind = 0; kind < N_KINDS; kind++) {
		const char *path = make((enum kind)kind);
		AUTOSECRET struct secret *key = NULL;
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		size_t len, len2, same = 0;
		AUTOFREE unsigned char *before = read_whole(path, &len);
		uint64_t start = container_info(c)->header_offset;
		add_new(c, key);
		assert_ok(container_write_back(c, &err));
		assert_ok(container_erase(c, &err));
		assert_fails(container_write_back(c, &err), ERROR_FAILED, "reading only");
		container_free(TAKE_PTR(c));

		AUTOFREE unsigned char *after = read_whole(path, &len2);
		assert_int_equal(len, len2);
		for (uint64_t i = start; i < start + 2 * MIB; i += 512)
			same += !memcmp(before + i, after + i, 512);
		/* Two LUKS2 copies are mostly zeros before and after. */
		assert_true(same < (kind == RAW2 ? 64 : 8));
		memcpy(before + start, after + start, kind == RAW2 ? LUKS2_DATA_OFFSET : 2 * MIB);
		assert_memory_equal(before, after, len);	/* nothing else was touched */
		assert_false(opens(path, "old") || opens(path, "new"));
		assert_fails(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err),
			     kind <= RAW2 ? ERROR_USAGE : ERROR_DAMAGED, "LUKS");
	}
}

static void an_interrupted_erase_can_be_repeated(void **state)
{
	(void)state;
	for (int at = 1; at <= 4; at++) {
		const char *path = make(QCOW2_64K);
		AUTOSECRET struct secret *key = NULL;
		AUTOCONTAINER struct container *c = open_to_change(path, &key);
		record(path, at, EIO);
		assert_fails(container_erase(c, &err), ERROR_FAILED, "");
		forget();
		container_free(TAKE_PTR(c));
		/* Up to the last step the header is there to be found; its keys are not. */
		if (at > 1)
			assert_false(opens(path, "old"));
		if (at == 4)
			continue;
		assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &err));
		assert_ok(container_erase(c, &err));
		assert_false(opens(path, "old"));
	}
}

/* --- What is refused --- */

static void only_files_and_devices_are_opened(void **state)
{
	(void)state;
	struct container *c = NULL;
	struct image_look look;
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	const struct itimerval limit = { .it_value = { .tv_sec = 5 } };
	setitimer(ITIMER_REAL, &limit, NULL);	/* a FIFO that blocks would end the test */
	const char *const odd[] = { in_dir("fifo"), test_dir, "/dev/null", "/dev/zero", "/dev/tty" };
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_fails(container_open(odd[i], IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &err),
			     ERROR_USAGE, "neither a file nor a block device");
		assert_fails(image_look(odd[i], &look, &err), ERROR_USAGE, "neither a file");
	}
	const struct itimerval none = { 0 };
	setitimer(ITIMER_REAL, &none, NULL);
	assert_fails(container_open(in_dir("none"), IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err),
		     ERROR_NOT_FOUND, "cannot open");
	/* A symbolic link to an image is a common thing. */
	assert_int_equal(symlink(make(RAW1), in_dir("link")), 0);
	assert_true(opens(in_dir("link"), "old"));
}

static void the_format_given_is_believed_or_refused(void **state)
{
	(void)state;
	struct container *c = NULL;
	const char *qcow2 = make(QCOW2_64K), *raw = make(RAW1), *plain = in_dir("plain");
	write_whole(plain, "no magic at all", 15);
	assert_int_equal(truncate(plain, MIB), 0);
	assert_fails(container_open(qcow2, IMAGE_FORMAT_RAW, CONTAINER_LOOK, &c, &err), ERROR_USAGE,
		     "is a qcow2 image, not raw");
	assert_fails(container_open(raw, IMAGE_FORMAT_QCOW2, CONTAINER_LOOK, &c, &err), ERROR_USAGE,
		     "is not a qcow2 image");
	assert_fails(container_open(plain, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err), ERROR_USAGE,
		     "is not encrypted with LUKS");
	assert_int_equal(err.err, EMEDIUMTYPE);
	write_whole(plain, "", 0);
	assert_fails(container_open(plain, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err), ERROR_USAGE,
		     "is not encrypted with LUKS");
	const char *const argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", in_dir("p.qcow2"), "1M",
				     NULL };
	if (run_tool(argv, NULL) == 0)
		assert_fails(container_open(in_dir("p.qcow2"), IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c,
					    &err), ERROR_USAGE, "is not encrypted with LUKS");
}

static void a_luks2_header_in_qcow2_is_refused(void **state)
{
	(void)state;
	AUTOLUKS struct luks *l = luks_of(2, "old", NULL);
	const struct qcow2_params p = { .size = MIB, .cluster_size = 65536 };
	uint64_t offset;
	struct container *c = NULL;
	AUTOCLOSE int fd = open(in_dir("two.qcow2"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_ok(qcow2_write(fd, &p, luks_len(l), NULL, &offset, &err));
	assert_ok(luks_write_used(l, 0, luks_len(l), fd, offset, "two.qcow2", &err));
	assert_fails(container_open(in_dir("two.qcow2"), IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err),
		     ERROR_DAMAGED, "LUKS2 header in a qcow2 image");
}

static void a_changing_container_is_locked(void **state)
{
	(void)state;
	const char *path = make(RAW1);
	AUTOCONTAINER struct container *c = NULL, *second = NULL, *look = NULL;
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &err));
	assert_true(image_is_in_use(path));
	assert_fails(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &second, &err), ERROR_BUSY,
		     "in use");
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &look, &err));
	container_free(TAKE_PTR(c));
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &second, &err));
}

/* libcryptsetup would repair the damaged copy the moment it reads it. */
static void looking_never_writes(void **state)
{
	(void)state;
	const char *path = make(RAW2);
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *old = secret_of("old");
	AUTOCLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	size_t len, len2;
	struct stat before, after;
	assert_ok(file_pwrite(fd, "damage", 6, 20480, path, &err));
	AUTOFREE unsigned char *bytes = read_whole(path, &len);
	assert_int_equal(stat(path, &before), 0);
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &err));
	assert_ok(luks_unlock(container_luks(c), -1, old, NULL, NULL, &err));
	assert_fails(container_write_back(c, &err), ERROR_FAILED, "reading only");
	assert_fails(container_erase(c, &err), ERROR_FAILED, "reading only");
	AUTOFREE unsigned char *again = read_whole(path, &len2);
	assert_int_equal(stat(path, &after), 0);
	assert_memory_equal(bytes, again, len);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void looks_at_images(void **state)
{
	(void)state;
	struct image_look look;
	static const unsigned char zeros[MIB];
	write_whole(in_dir("zeros"), zeros, sizeof(zeros));
	assert_ok(image_look(in_dir("zeros"), &look, &err));
	assert_int_equal(look.format, IMAGE_FORMAT_RAW);
	assert_false(look.encrypted);
	assert_int_equal(look.size, MIB);

	for (int kind = 0; kind < N_KINDS; kind++) {
		assert_ok(image_look(make((enum kind)kind), &look, &err));
		assert_true(look.encrypted);
		assert_int_equal(look.size, MIB);
		assert_int_equal(look.luks_version, kind == RAW2 ? 2 : 1);
		assert_false(uuid_is_null(look.luks_uuid));
	}
	/* Raw is raw, whatever a guest wrote into it. */
	assert_ok(image_look_as(make(QCOW2_64K), "raw", &look, &err));
	assert_int_equal(look.format, IMAGE_FORMAT_RAW);
	assert_false(look.encrypted);
	assert_ok(image_look_as(make(RAW1), "luks", &look, &err));
	assert_true(look.encrypted);
	assert_fails(image_look_as(in_dir("zeros"), "qcow2", &look, &err), ERROR_DAMAGED, "'qcow2'");
	assert_fails(image_look_as(in_dir("zeros"), "vmdk", &look, &err), ERROR_DAMAGED, "'vmdk'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_a_container),
		cmocka_unit_test(a_passphrase_is_rotated_on_disk),
		cmocka_unit_test(add_and_remove_in_one_write_is_ordered_too),
		cmocka_unit_test(the_old_key_material_is_gone),
		cmocka_unit_test(a_keyslot_replaced_in_place_is_refused),
		cmocka_unit_test(another_programs_change_is_not_overwritten),
		cmocka_unit_test(a_power_cut_leaves_a_key_that_opens),
		cmocka_unit_test(a_power_cut_in_a_combined_change),
		cmocka_unit_test(a_failed_write_can_be_repeated),
		cmocka_unit_test(erased_means_nothing_opens_it),
		cmocka_unit_test(an_interrupted_erase_can_be_repeated),
		cmocka_unit_test(only_files_and_devices_are_opened),
		cmocka_unit_test(the_format_given_is_believed_or_refused),
		cmocka_unit_test(a_luks2_header_in_qcow2_is_refused),
		cmocka_unit_test(a_changing_container_is_locked),
		cmocka_unit_test(looking_never_writes),
		cmocka_unit_test(looks_at_images),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
