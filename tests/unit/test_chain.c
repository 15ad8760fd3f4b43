/* Backing chains: resolved as QEMU does it, and not followed where nobody asked to go. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"
#include "lib/image/chain.h"
#include "lib/image/qcow2/format.h"

static struct error err;

static const char *overlay(const char *name, const char *backing, const char *format)
{
	const char *path = in_dir(name);
	const struct qcow2_params p = { .size = MIB, .cluster_size = 65536, .backing = backing,
					.backing_format = format };
	make_qcow2(path, &p, "pass");
	return path;
}

static const char *raw_file(const char *name, size_t size)
{
	const char *path = in_dir(name);
	write_whole(path, "", 0);
	assert_int_equal(truncate(path, (off_t)size), 0);
	return path;
}

static void a_chain_of_all_formats(void **state)
{
	(void)state;
	AUTOCHAIN struct chain *c = NULL;
	raw_file("base.raw", 3 * MIB);
	const char *plain[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw",
				in_dir("plain.qcow2"), NULL };
	if (run_tool((const char *const *)plain, NULL) != 0)
		skip();
	overlay("mid.qcow2", in_dir("plain.qcow2"), "qcow2");
	const char *top = overlay("top.qcow2", "mid.qcow2", "qcow2");

	assert_ok(chain_walk(top, IMAGE_FORMAT_AUTO, &c, &err));
	assert_int_equal(c->n, 4);
	static const struct {
		const char *name;
		bool encrypted;
		enum image_format format;
		uint64_t size;
	} want[] = {
		{ "top.qcow2", true, IMAGE_FORMAT_QCOW2, MIB },
		{ "mid.qcow2", true, IMAGE_FORMAT_QCOW2, MIB },
		{ "plain.qcow2", false, IMAGE_FORMAT_QCOW2, 3 * MIB },
		{ "base.raw", false, IMAGE_FORMAT_RAW, 3 * MIB },
	};
	for (size_t i = 0; i < c->n; i++) {
		assert_string_equal(c->elements[i].path, in_dir(want[i].name));
		assert_int_equal(c->elements[i].encrypted, want[i].encrypted);
		assert_int_equal(c->elements[i].format, want[i].format);
		assert_int_equal(c->elements[i].size, want[i].size);
	}
	assert_false(uuid_compare(c->elements[0].luks_uuid, c->elements[1].luks_uuid) == 0);
	assert_true(uuid_is_null(c->elements[2].luks_uuid));
}

static void a_single_image(void **state)
{
	(void)state;
	AUTOCHAIN struct chain *c = NULL, *raw = NULL;
	make_raw(in_dir("luks.raw"), 1, MIB, "pass");
	assert_ok(chain_walk(in_dir("luks.raw"), IMAGE_FORMAT_RAW, &c, &err));
	assert_int_equal(c->n, 1);
	assert_true(c->elements[0].encrypted);
	assert_int_equal(c->elements[0].size, MIB);
	assert_fails(chain_walk(overlay("q", NULL, NULL), IMAGE_FORMAT_RAW, &raw, &err), ERROR_USAGE,
		     "is a qcow2 image, not raw");
	assert_fails(chain_walk(in_dir("luks.raw"), IMAGE_FORMAT_QCOW2, &raw, &err), ERROR_DAMAGED,
		     "not of the format 'qcow2'");
}

static void relative_names_count_from_the_overlay(void **state)
{
	(void)state;
	AUTOCHAIN struct chain *c = NULL;
	assert_int_equal(mkdir(in_dir("a"), 0700), 0);
	assert_int_equal(mkdir(in_dir("a/b"), 0700), 0);
	raw_file("a/base.raw", MIB);
	overlay("a/b/mid.qcow2", "../base.raw", "raw");
	const char *top = overlay("rel.qcow2", "a/b/mid.qcow2", "qcow2");
	assert_ok(chain_walk(top, IMAGE_FORMAT_QCOW2, &c, &err));
	assert_int_equal(c->n, 3);
	assert_string_equal(c->elements[2].path, in_dir("a/b/../base.raw"));

	AUTOCHAIN struct chain *here = NULL;
	AUTOCLOSE int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(test_dir), 0);
	assert_ok(chain_walk("rel.qcow2", IMAGE_FORMAT_AUTO, &here, &err));
	assert_string_equal(here->elements[1].path, "a/b/mid.qcow2");
	assert_int_equal(fchdir(cwd), 0);
}

static void loops_end(void **state)
{
	(void)state;
	struct chain *c = NULL;
	const char *self = overlay("self.qcow2", "self.qcow2", "qcow2");
	const char *one = overlay("one.qcow2", "two.qcow2", "qcow2");
	overlay("two.qcow2", "./hard.qcow2", "qcow2");
	assert_int_equal(link(one, in_dir("hard.qcow2")), 0);
	assert_fails(chain_walk(self, IMAGE_FORMAT_AUTO, &c, &err), ERROR_DAMAGED, "comes back to itself");
	assert_fails(chain_walk(one, IMAGE_FORMAT_AUTO, &c, &err), ERROR_DAMAGED, "comes back to itself");
	assert_null(c);
}

static void depth_is_limited(void **state)
{
	(void)state;
	struct chain *c = NULL;
	char name[32], below[32] = "deep-base";
	size_t len;
	raw_file("deep-base", MIB);
	/* One image made, its copies named differently: LUKS takes a while. */
	overlay("deep", "name-of-ten", "qcow2");
	AUTOFREE unsigned char *bytes = read_whole(in_dir("deep"), &len);
	unsigned char *text = memmem(bytes, 4096, "name-of-ten", 11);
	assert_non_null(text);
	for (int i = 0; i <= CHAIN_MAX; i++) {
		memcpy(text, below, 11);
		put_be32(bytes + HDR_BACKING_SIZE, (uint32_t)strlen(below));
		if (i <= 1)	/* the format of what is below: raw, then qcow2 */
			memcpy(bytes + 120, i ? "qcow2" : "raw\0\0", 5);
		put_be32(bytes + 116, i ? 5 : 3);
		snprintf(name, sizeof(name), "deep-%02d", i);
		write_whole(in_dir(name), bytes, len);
		snprintf(below, sizeof(below), "%s", name);
	}
	AUTOCHAIN struct chain *fits = NULL;
	assert_ok(chain_walk(in_dir("deep-62"), IMAGE_FORMAT_AUTO, &fits, &err));
	assert_int_equal(fits->n, CHAIN_MAX);
	assert_fails(chain_walk(in_dir("deep-63"), IMAGE_FORMAT_AUTO, &c, &err), ERROR_DAMAGED,
		     "more than 64 images");
}

static void missing_and_strange_backing_files(void **state)
{
	(void)state;
	struct chain *c = NULL;
	assert_fails(chain_walk(in_dir("none"), IMAGE_FORMAT_AUTO, &c, &err), ERROR_NOT_FOUND, "none");
	assert_fails(chain_walk(overlay("a.qcow2", "missing", "raw"), IMAGE_FORMAT_AUTO, &c, &err),
		     ERROR_NOT_FOUND, "backing file of");
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	assert_fails(chain_walk(overlay("b.qcow2", "pipe", "raw"), IMAGE_FORMAT_AUTO, &c, &err),
		     ERROR_USAGE, "neither a file");
	raw_file("zeros", MIB);
	assert_fails(chain_walk(overlay("c.qcow2", "zeros", "qcow2"), IMAGE_FORMAT_AUTO, &c, &err),
		     ERROR_DAMAGED, "not of the format 'qcow2'");
	assert_fails(chain_walk(overlay("d.qcow2", "zeros", "luks"), IMAGE_FORMAT_AUTO, &c, &err),
		     ERROR_DAMAGED, "not of the format 'luks'");
}

/* CVE-2008-2004's class: a guest writes a qcow2 header, naming a host file, into its raw disk. */
static void what_a_guest_wrote_into_raw_is_not_followed(void **state)
{
	(void)state;
	AUTOCHAIN struct chain *c = NULL;
	overlay("evil.raw", "/etc/shadow", "raw");
	assert_ok(chain_walk(overlay("victim.qcow2", "evil.raw", "raw"), IMAGE_FORMAT_AUTO, &c, &err));
	assert_int_equal(c->n, 2);
	assert_int_equal(c->elements[1].format, IMAGE_FORMAT_RAW);
	assert_false(c->elements[1].encrypted);
}

static void an_undeclared_format_is_refused(void **state)
{
	(void)state;
	struct chain *c = NULL;
	size_t len;
	raw_file("zeros2", MIB);
	const char *path = overlay("undeclared.qcow2", "zeros2", "raw");
	AUTOFREE unsigned char *bytes = read_whole(path, &len);
	put_be32(bytes + 112, 0x11111111);	/* the format extension becomes an unknown one */
	write_whole(path, bytes, len);
	assert_fails(chain_walk(path, IMAGE_FORMAT_AUTO, &c, &err), ERROR_REFUSED,
		     "does not say the format of its backing file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_of_all_formats),
		cmocka_unit_test(a_single_image),
		cmocka_unit_test(relative_names_count_from_the_overlay),
		cmocka_unit_test(loops_end),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(missing_and_strange_backing_files),
		cmocka_unit_test(what_a_guest_wrote_into_raw_is_not_followed),
		cmocka_unit_test(an_undeclared_format_is_refused),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
