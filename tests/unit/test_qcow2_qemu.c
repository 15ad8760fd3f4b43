/*
 * What we write is what QEMU reads: `qemu-img check` and `qemu-img info` over the whole parameter
 * space, data through qemu-io, and containers made by QEMU and cryptsetup opened by us.
 */
#include "tests/unit/image_util.h"

#include "base/text.h"
#include "base/bytes.h"
#include "lib/image/qcow2/format.h"

#include <json-c/json.h>

static struct error err;
static unsigned checked;

/* One header for all images of the sweep. */
static const struct luks *luks_header(void)
{
	static struct luks *l;
	if (!l)
		l = luks_of(1, "pass", NULL);
	return l;
}

static void describe(const struct qcow2_params *p, char *buf, size_t size)
{
	snprintf(buf, size, "size %llu, cluster %u, refcount bits %u, extended %d, prealloc %d, backing %s",
		 (unsigned long long)p->size, p->cluster_size, p->refcount_bits, p->extended_l2,
		 (int)p->prealloc, p->backing ? p->backing : "none");
}

static int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_int64(v);
}

static void check_info(const struct qcow2_params *p, const char *path, const char *what)
{
	const char *const argv[] = { "qemu-img", "info", "-f", "qcow2", "--output=json", path, NULL };
	if (run_tool(argv, NULL) != 0)
		fail_msg("%s: qemu-img info: %s", what, tool_output);
	struct json_object *o = json_tokener_parse(tool_output), *specific, *data, *backing;
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "format-specific", &specific));
	assert_true(json_object_object_get_ex(specific, "data", &data));
	if (number(o, "virtual-size") != (int64_t)p->size ||
	    number(o, "cluster-size") != p->cluster_size ||
	    number(data, "refcount-bits") != (p->refcount_bits ? p->refcount_bits : 16) ||
	    number(data, "extended-l2") != p->extended_l2)
		fail_msg("%s: qemu-img info says %s", what, tool_output);
	if (p->backing) {
		assert_true(json_object_object_get_ex(o, "backing-filename", &backing));
		assert_string_equal(json_object_get_string(backing), p->backing);
	}
	json_object_put(o);
}

static void check_clean(const char *path, const char *what, bool has_backing)
{
	char image[1400], backing[640] = "";
	/* The sweep's backing files are names only: one stands in for all. */
	snprintf(backing, sizeof(backing), ",backing.driver=raw,backing.file.filename=%s",
		 in_dir("stand-in.raw"));
	if (has_backing)
		write_whole(in_dir("stand-in.raw"), "", 0);
	snprintf(image, sizeof(image),
		 "driver=qcow2,encrypt.key-secret=s0,file.driver=file,file.filename=%s%s", path,
		 has_backing ? backing : "");
	const char *const argv[] = { "qemu-img", "check", "--object", QEMU_SECRET, "--image-opts", image,
				     NULL };
	int status = run_tool(argv, "pass");
	if (status != 0 || !strstr(tool_output, "No errors were found"))
		fail_msg("%s: qemu-img check ends with %d: %s", what, status, tool_output);
}

static void check_image(const struct qcow2_params *p)
{
	char what[256];
	uint64_t offset, size;
	struct qcow2_header h = { 0 };
	const struct luks *luks = luks_header();
	const char *path = in_dir("sweep.qcow2");
	describe(p, what, sizeof(what));
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (qcow2_write(fd, p, luks_len(luks), NULL, &offset, &err) < 0 ||
	    luks_write_used(luks, 0, luks_len(luks), fd, offset, path, &err) < 0)
		fail_msg("%s: %s", what, err.message);
	assert_ok(file_size(fd, path, &size, &err));
	assert_ok(qcow2_read(fd, size, path, &h, &err));
	assert_int_equal(h.luks_offset, offset);
	check_info(p, path, what);
	check_clean(path, what, p->backing);
	checked++;
}

static void every_cluster_size_and_disk_size(void **state)
{
	(void)state;
	checked = 0;
	for (uint32_t cluster = 512; cluster <= 2 * MIB; cluster *= 2) {
		uint64_t max = qcow2_max_size(cluster, false);
		const uint64_t sizes[] = { MIB, 3 * MIB + 512, GIB, UINT64_C(1) << 40, max };
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			if (sizes[i] <= max)
				check_image(&(struct qcow2_params){
					.size = sizes[i], .cluster_size = cluster,
					/* alternating: the other half has a backing file */
					.backing = i % 2 ? "base.raw" : NULL,
					.backing_format = i % 2 ? "raw" : NULL });
	}
	print_message("%u images\n", checked);
}

static void every_refcount_width(void **state)
{
	(void)state;
	checked = 0;
	for (uint32_t bits = 1; bits <= 64; bits *= 2)
		for (uint32_t cluster = 512; cluster <= 2 * MIB; cluster *= 8)
			check_image(&(struct qcow2_params){ .size = GIB, .cluster_size = cluster,
							    .refcount_bits = bits });
	print_message("%u images\n", checked);
}

static void extended_l2_entries(void **state)
{
	(void)state;
	checked = 0;
	for (uint32_t cluster = 16384; cluster <= 2 * MIB; cluster *= 2) {
		const uint64_t sizes[] = { MIB, GIB + 512, qcow2_max_size(cluster, true) };
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			check_image(&(struct qcow2_params){ .size = sizes[i], .cluster_size = cluster,
							    .extended_l2 = true });
	}
	print_message("%u images\n", checked);
}

static void preallocated_images(void **state)
{
	(void)state;
	checked = 0;
	for (uint32_t cluster = 512; cluster <= 2 * MIB; cluster *= 4)
		for (uint32_t bits = 1; bits <= 64; bits *= 4) {
			const uint64_t sizes[] = { MIB, 5 * MIB + 512, 200 * MIB };
			/* Reserving or writing 200 MiB each time would test the disk, not the format. */
			for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
				check_image(&(struct qcow2_params){
					.size = sizes[i], .cluster_size = cluster, .refcount_bits = bits,
					.extended_l2 = cluster >= 16384 && bits == 4,
					.prealloc = i == 0 ? QCOW2_PREALLOC_FULL
						    : i == 1 ? QCOW2_PREALLOC_FALLOC
							     : QCOW2_PREALLOC_METADATA });
		}
	check_image(&(struct qcow2_params){ .size = UINT64_C(1) << 40, .cluster_size = 2 * MIB,
					    .prealloc = QCOW2_PREALLOC_METADATA });
	print_message("%u images\n", checked);
}

static void the_longest_backing_names(void **state)
{
	(void)state;
	char name[1024];
	static const struct {
		uint32_t cluster;
		size_t len;
	} longest[] = { { 512, 352 }, { 1024, 864 }, { 2048, 1023 }, { 65536, 1023 } };
	for (size_t i = 0; i < ARRAY_LEN(longest); i++) {
		/* Many short parts: the name is never opened, but must be one that could be. */
		for (size_t j = 0; j < longest[i].len; j++)
			name[j] = j % 100 == 99 ? '/' : 'n';
		name[longest[i].len] = 0;
		check_image(&(struct qcow2_params){ .size = MIB, .cluster_size = longest[i].cluster,
						    .backing = name, .backing_format = "qcow2" });
	}
}

/* Is a sector of the pattern, or of its byte alone, anywhere in the file? */
static bool contains(const char *path, unsigned char byte)
{
	unsigned char sector[512];
	size_t len;
	AUTOFREE unsigned char *bytes = read_whole(path, &len);
	memset(sector, byte, sizeof(sector));
	return memmem(bytes, len, sector, 64) != NULL;
}

static void data_survives_and_is_encrypted(void **state)
{
	(void)state;
	const struct qcow2_params variants[] = {
		{ .size = 8 * MIB, .cluster_size = 512, .refcount_bits = 1 },
		{ .size = 8 * MIB, .cluster_size = 4096, .refcount_bits = 64 },
		{ .size = 8 * MIB, .cluster_size = 65536 },
		{ .size = 8 * MIB, .cluster_size = 2 * MIB },
		{ .size = 8 * MIB, .cluster_size = 131072, .extended_l2 = true },
		{ .size = 8 * MIB, .cluster_size = 65536, .prealloc = QCOW2_PREALLOC_METADATA },
		{ .size = 8 * MIB, .cluster_size = 512, .prealloc = QCOW2_PREALLOC_FALLOC },
		{ .size = 8 * MIB, .cluster_size = 65536, .prealloc = QCOW2_PREALLOC_FULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
		char what[256];
		const char *path = in_dir("data.qcow2");
		make_qcow2(path, &variants[i], "pass");
		describe(&variants[i], what, sizeof(what));
		if (qemu_io(path, "qcow2", "pass", "write -P 0x5a 1000k 3M"))
			fail_msg("%s: write: %s", what, tool_output);
		if (qemu_io(path, "qcow2", "pass", "read -P 0x5a 1000k 3M") ||
		    strstr(tool_output, "Pattern verification failed"))
			fail_msg("%s: read: %s", what, tool_output);
		assert_false(contains(path, 0x5a));
		assert_int_not_equal(qemu_io(path, "qcow2", "wrong", "read 0 512"), 0);
		check_clean(path, what, false);
	}
}

/* The end of the largest disk can be written: nothing in the tables was cut short. */
static void the_last_sectors_of_the_largest_disks(void **state)
{
	(void)state;
	for (uint32_t cluster = 512; cluster <= 2 * MIB; cluster *= 64) {
		char command[64];
		struct qcow2_params p = { .size = qcow2_max_size(cluster, false), .cluster_size = cluster };
		const char *path = in_dir("large.qcow2");
		make_qcow2(path, &p, "pass");
		for (int i = 0; i < 2; i++) {
			snprintf(command, sizeof(command), "%s -P 0x5a %llu 4096", i ? "read" : "write",
				 (unsigned long long)p.size - 4096);
			if (qemu_io(path, "qcow2", "pass", command) || strstr(tool_output, "failed"))
				fail_msg("cluster %u: %s: %s", cluster, command, tool_output);
		}
		check_clean(path, "largest disk", false);
	}
}

static void a_backing_file_shows_through(void **state)
{
	(void)state;
	static unsigned char data[MIB];
	memset(data, 0x77, sizeof(data));
	write_whole(in_dir("base.raw"), data, sizeof(data));
	const struct qcow2_params p = { .size = 2 * MIB, .cluster_size = 65536, .backing = "base.raw",
					.backing_format = "raw" };
	const char *path = in_dir("overlay.qcow2");
	make_qcow2(path, &p, "pass");
	assert_int_equal(qemu_io(path, "qcow2", "pass", "read -P 0x77 0 1M"), 0);
	assert_null(strstr(tool_output, "failed"));
	assert_int_equal(qemu_io(path, "qcow2", "pass", "write -P 0x66 64k 64k"), 0);
	assert_int_equal(qemu_io(path, "qcow2", "pass", "read -P 0x66 64k 64k"), 0);
	assert_null(strstr(tool_output, "failed"));
	assert_false(contains(path, 0x66) || contains(path, 0x77));
}

static void raw_luks_is_read_by_qemu(void **state)
{
	(void)state;
	const char *path = in_dir("raw.luks");
	make_raw(path, 1, 4 * MIB, "pass");
	assert_int_equal(qemu_io(path, "luks", "pass", "write -P 0x5a 0 4M"), 0);
	assert_int_equal(qemu_io(path, "luks", "pass", "read -P 0x5a 0 4M"), 0);
	assert_null(strstr(tool_output, "failed"));
	assert_false(contains(path, 0x5a));
}

/* Takes a container made by somebody else through a rotation; QEMU must open the result. */
static void rotate_foreign(const char *path, const char *driver)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *old = secret_of("pass"), *new = secret_of("new"), *key = NULL;
	int slot;
	assert_ok(container_open(path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &err));
	assert_ok(luks_unlock(container_luks(c), -1, old, &slot, &key, &err));
	assert_ok(luks_add_keyslot(container_luks(c), -1, key, new, LUKS_KDF_GENERATED, NULL, &err));
	assert_ok(container_write_back(c, &err));
	assert_ok(luks_remove_keyslot(container_luks(c), slot, &err));
	assert_ok(container_write_back(c, &err));
	container_free(TAKE_PTR(c));
	if (!driver)
		return;
	assert_int_equal(qemu_io(path, driver, "new", "read -P 0x5a 0 64k"), 0);
	assert_null(strstr(tool_output, "failed"));
	assert_int_not_equal(qemu_io(path, driver, "pass", "read 0 512"), 0);
}

/* Its clock for the key derivation benchmark fails now and then on virtual machines. */
static bool qemu_create(const char *path, const char *format, const char *options)
{
	const char *const argv[] = { "qemu-img", "create", "-q", "--object", QEMU_SECRET, "-f", format, "-o",
				     options, path, "8M", NULL };
	for (int i = 0; i < 20; i++)
		if (run_tool(argv, "pass") == 0)
			return true;
	print_message("qemu-img create: %s\n", tool_output);
	return false;
}

static void containers_made_by_qemu(void **state)
{
	(void)state;
	static const struct {
		const char *format, *driver, *options;
	} made[] = {
		{ "qcow2", "qcow2", "encrypt.format=luks,encrypt.key-secret=s0,encrypt.hash-alg=sha512,"
				    "encrypt.iter-time=10" },
		{ "qcow2", "qcow2", "compat=0.10,cluster_size=512,encrypt.format=luks,encrypt.key-secret=s0,"
				    "encrypt.hash-alg=sha512,encrypt.iter-time=10" },
		{ "qcow2", "qcow2", "cluster_size=2M,extended_l2=on,encrypt.format=luks,"
				    "encrypt.key-secret=s0,encrypt.hash-alg=sha512,encrypt.iter-time=10" },
		{ "luks", "luks", "key-secret=s0,hash-alg=sha512,iter-time=10" },
	};
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		const char *path = in_dir("qemu.img");
		unlink(path);
		if (!qemu_create(path, made[i].format, made[i].options))
			skip();
		assert_int_equal(qemu_io(path, made[i].driver, "pass", "write -P 0x5a 0 64k"), 0);
		rotate_foreign(path, made[i].driver);
	}
}

static void containers_made_by_cryptsetup(void **state)
{
	(void)state;
	for (int version = 1; version <= 2; version++) {
		const char *path = in_dir("cryptsetup.img");
		unlink(path);
		write_whole(path, "", 0);
		assert_int_equal(truncate(path, 24 * MIB), 0);
		const char *const argv[] = { "cryptsetup", "luksFormat", "-q", "--type",
					     version == 1 ? "luks1" : "luks2", "--pbkdf", "pbkdf2",
					     "--pbkdf-force-iterations", "1000", "--key-file", "/dev/fd/3",
					     path, NULL };
		if (run_tool(argv, "pass") != 0) {
			print_message("cryptsetup: %s\n", tool_output);
			skip();
		}
		/* QEMU reads LUKS1 only. */
		if (version == 1)
			assert_int_equal(qemu_io(path, "luks", "pass", "write -P 0x5a 0 64k"), 0);
		rotate_foreign(path, version == 1 ? "luks" : NULL);

		const char *const test[] = { "cryptsetup", "open", "--test-passphrase", "--key-file",
					     "/dev/fd/3", path, NULL };
		assert_int_equal(run_tool(test, "new"), 0);
		assert_int_not_equal(run_tool(test, "pass"), 0);
	}
}

/* ---- what QEMU refuses, we refuse ---- */

/* QEMU opens it as it would for a guest, but for a backing file. */
static bool qemu_opens(const char *path)
{
	char image[640];
	snprintf(image, sizeof(image),
		 "json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"s0\"},\"backing\":null,"
		 "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}", path);
	const char *const argv[] = { "qemu-io", "-r", "--object", QEMU_SECRET, "-c", "quit", image, NULL };
	return run_tool(argv, "pass") == 0 && !strstr(tool_output, "qemu-io:");
}

struct field {
	const char *name;
	size_t at;
	int width;
};

struct trial {
	int fd;
	const char *path;
	unsigned tried, refused, stricter;
};

static bool we_open(const char *path)
{
	AUTOCONTAINER struct container *c = NULL;
	return container_open(path, IMAGE_FORMAT_QCOW2, CONTAINER_CHANGE, &c, &err) == 0;
}

/* One field has one value: what do both say? */
static void try_value(struct trial *t, const struct field *f, uint64_t value)
{
	unsigned char was[8], now[8];
	assert_int_equal(pread(t->fd, was, (size_t)f->width, (off_t)f->at), f->width);
	for (int i = 0; i < f->width; i++)
		now[i] = (unsigned char)(value >> 8 * (f->width - 1 - i));
	if (!memcmp(was, now, (size_t)f->width))
		return;
	assert_int_equal(pwrite(t->fd, now, (size_t)f->width, (off_t)f->at), f->width);
	bool ours = we_open(t->path), theirs = qemu_opens(t->path);
	t->tried++;
	t->refused += !theirs;
	t->stricter += theirs && !ours;
	if (ours && !theirs)
		fail_msg("%s %#llx: we accept, QEMU says: %s", f->name, (unsigned long long)value, tool_output);
	assert_int_equal(pwrite(t->fd, was, (size_t)f->width, (off_t)f->at), f->width);
}

static void try_fields(struct trial *t, const struct field *fields, size_t n)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, 5, 8, 9, 22, 40, 64, 65, 72, 104, 105, 112, 511, 512, 1023, 1025, 65535, 65536, 131072,
		262144, 4194304, 4194305, INT32_MAX, UINT32_MAX, UINT64_C(1) << 40, UINT64_C(1) << 56, INT64_MAX,
		UINT64_C(1) << 63, UINT64_MAX - 65535, UINT64_MAX,
	};
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < ARRAY_LEN(values); j++)
			if (fields[i].width == 8 || values[j] >> 8 * fields[i].width == 0)
				try_value(t, &fields[i], values[j]);
}

static void try_image(const char *path, const struct field *fields, size_t n)
{
	struct trial t = { .path = path };
	t.fd = open(t.path, O_RDWR | O_CLOEXEC);
	assert_true(t.fd >= 0);
	if (!qemu_opens(path) || !we_open(path))
		fail_msg("%s %s", tool_output, err.message);
	try_fields(&t, fields, n);
	close(t.fd);
	print_message("%u headers, %u refused by QEMU, %u more by us\n", t.tried, t.refused, t.stricter);
}

static void what_qemu_refuses_is_refused(void **state)
{
	(void)state;
	static const struct field fields[] = {
		{ "magic", 0, 4 }, { "version", 4, 4 }, { "backing offset", 8, 8 }, { "backing size", 16, 4 },
		{ "cluster bits", 20, 4 }, { "size", 24, 8 }, { "crypt method", 32, 4 }, { "L1 entries", 36, 4 },
		{ "L1 offset", 40, 8 }, { "refcount offset", 48, 8 }, { "refcount clusters", 56, 4 },
		{ "snapshots", 60, 4 }, { "snapshots offset", 64, 8 }, { "incompatible", 72, 8 },
		{ "compatible", 80, 8 }, { "autoclear", 88, 8 }, { "refcount order", 96, 4 },
		{ "header length", 100, 4 }, { "compression", 104, 1 }, { "padding", 105, 1 }, { "padding", 107, 4 },
		/* the extension of the LUKS header, then the end */
		{ "extension type", 112, 4 }, { "extension length", 116, 4 }, { "LUKS offset", 120, 8 },
		{ "LUKS length", 128, 8 }, { "next extension", 136, 4 }, { "end's length", 140, 4 },
		{ "behind the end", 144, 4 }, { "behind the end", 148, 4 },
	};
	const struct qcow2_params p = { .size = 8 * MIB, .cluster_size = 65536 };
	make_qcow2(in_dir("trial.qcow2"), &p, "pass");
	try_image(in_dir("trial.qcow2"), fields, ARRAY_LEN(fields));
}

static uint64_t number_at(const char *path, uint64_t at)
{
	unsigned char b[8];
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && pread(fd, b, sizeof(b), (off_t)at) == 8);
	return get_be64(b);
}

/* qemu-img snapshot or bitmap on it. */
static void qemu_adds(const char *path, const char *what, const char *how, const char *name)
{
	char image[640];
	snprintf(image, sizeof(image), "driver=qcow2,encrypt.key-secret=s0,file.filename=%s", path);
	bool bitmap = !strcmp(what, "bitmap");
	const char *const argv[] = { "qemu-img", what, "--object", QEMU_SECRET, how, bitmap ? "--image-opts" : name,
				     bitmap ? image : "--image-opts", bitmap ? name : image, NULL };
	if (run_tool(argv, "pass") != 0)
		fail_msg("qemu-img %s: %s", what, tool_output);
}

static void bad_snapshots_and_bitmaps_are_refused_as_by_qemu(void **state)
{
	(void)state;
	const struct qcow2_params p = { .size = 8 * MIB, .cluster_size = 65536 };
	const char *path = in_dir("trial2.qcow2");
	make_qcow2(path, &p, "pass");
	qemu_adds(path, "snapshot", "-c", "one");
	qemu_adds(path, "snapshot", "-c", "two");
	qemu_adds(path, "bitmap", "--add", "b0");
	qemu_adds(path, "bitmap", "--add", "b1");
	/* QEMU puts the extension of the bitmaps behind that of the LUKS header. */
	size_t ext = 112;
	while (number_at(path, ext) >> 32 != EXT_BITMAPS)
		ext += 8 + ((number_at(path, ext) & UINT32_MAX) + 7) / 8 * 8;
	uint64_t s = number_at(path, 64), b = number_at(path, ext + 24);
	const struct field fields[] = {
		{ "snapshots", 60, 4 }, { "snapshots offset", 64, 8 }, { "L1 offset", s, 8 },
		{ "L1 entries", s + 8, 4 }, { "ID length", s + 12, 2 }, { "name length", s + 14, 2 },
		{ "date", s + 16, 4 }, { "clock", s + 24, 8 }, { "VM state", s + 32, 4 }, { "extra length", s + 36, 4 },
		{ "extra", s + 40, 8 }, { "extra", s + 48, 8 }, { "autoclear", 88, 8 },
		{ "extension length", ext + 4, 4 }, { "bitmaps", ext + 8, 4 }, { "reserved", ext + 12, 4 },
		{ "directory length", ext + 16, 8 }, { "directory offset", ext + 24, 8 }, { "table offset", b, 8 },
		{ "table entries", b + 8, 4 }, { "flags", b + 12, 4 }, { "type", b + 16, 1 },
		{ "granularity", b + 17, 1 }, { "name length", b + 18, 2 }, { "extra length", b + 20, 4 },
		{ "name", b + 24, 2 },
	};
	try_image(path, fields, ARRAY_LEN(fields));
}

static int have_qemu(void **state)
{
	const char *const argv[] = { "qemu-img", "--version", NULL };
	return test_dir_make(state) < 0 || run_tool(argv, NULL) != 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cluster_size_and_disk_size),
		cmocka_unit_test(every_refcount_width),
		cmocka_unit_test(extended_l2_entries),
		cmocka_unit_test(preallocated_images),
		cmocka_unit_test(the_longest_backing_names),
		cmocka_unit_test(data_survives_and_is_encrypted),
		cmocka_unit_test(the_last_sectors_of_the_largest_disks),
		cmocka_unit_test(a_backing_file_shows_through),
		cmocka_unit_test(raw_luks_is_read_by_qemu),
		cmocka_unit_test(containers_made_by_qemu),
		cmocka_unit_test(containers_made_by_cryptsetup),
		cmocka_unit_test(what_qemu_refuses_is_refused),
		cmocka_unit_test(bad_snapshots_and_bitmaps_are_refused_as_by_qemu),
	};
	return cmocka_run_group_tests(tests, have_qemu, test_dir_remove);
}
