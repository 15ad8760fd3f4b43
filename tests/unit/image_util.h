/* Shared by the tests of lib/image: private directories, small images, the tools as children. */
#ifndef TESTS_UNIT_IMAGE_UTIL_H
#define TESTS_UNIT_IMAGE_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include "base/file.h"
#include "base/process.h"
#include "lib/image/container.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UNUSED __attribute__((unused))
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static char test_dir[64];

static UNUSED int test_dir_make(void **state)
{
	(void)state;
	snprintf(test_dir, sizeof(test_dir), "/tmp/kvmcrypt-unit.XXXXXX");
	return mkdtemp(test_dir) ? 0 : -1;
}

static UNUSED int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static UNUSED int test_dir_remove(void **state)
{
	(void)state;
	return nftw(test_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in the private directory; a few may be in use at a time. */
static UNUSED const char *in_dir(const char *name)
{
	static char paths[16][512];
	static unsigned next;
	char *p = paths[next++ % 16];
	snprintf(p, sizeof(paths[0]), "%s/%s", test_dir, name);
	return p;
}

#define assert_ok(call)                                                                        \
	do {                                                                                   \
		struct error *err_ = &err;                                                     \
		memset(err_, 0, sizeof(*err_));                                                \
		int r_ = (call);                                                               \
		if (r_ < 0)                                                                    \
			fail_msg("%s: %s", #call, err_->message);                              \
	} while (0)

/* The call fails with this kind, and its message has the text. */
#define assert_fails(call, want, text)                                                         \
	do {                                                                                   \
		memset(&err, 0, sizeof(err));                                                  \
		int r_ = (call);                                                               \
		if (r_ >= 0)                                                                   \
			fail_msg("%s succeeded", #call);                                       \
		if (err.kind != (want) || !strstr(err.message, (text)) || r_ != -err.err)      \
			fail_msg("%s: kind %d, errno %d/%d, '%s'; wanted kind %d, '%s'",       \
				 #call, (int)err.kind, err.err, -r_, err.message, (int)(want), \
				 (text));                                                      \
	} while (0)

static UNUSED struct secret *secret_of(const char *text)
{
	struct secret *s = NULL;
	struct error err;
	assert_ok(secret_copy(text, strlen(text), &s, &err));
	return s;
}

static UNUSED struct luks *luks_of(int version, const char *passphrase, struct secret **ret_key)
{
	AUTOSECRET struct secret *pass = secret_of(passphrase);
	AUTOSECRET struct secret *key = NULL;
	struct luks_params p = { .version = version, .cipher = "aes-xts-plain64", .key_bits = 512,
				 .sector_size = 512 };
	struct luks *l = NULL;
	struct error err;
	assert_ok(luks_format(&p, pass, LUKS_KDF_GENERATED, &l, &key, &err));
	if (ret_key)
		*ret_key = TAKE_PTR(key);
	return l;
}

static UNUSED void make_qcow2(const char *path, const struct qcow2_params *p, const char *passphrase)
{
	AUTOLUKS struct luks *l = luks_of(1, passphrase, NULL);
	uint64_t offset;
	struct error err;
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_ok(qcow2_write(fd, p, luks_len(l), NULL, &offset, &err));
	assert_ok(luks_write_used(l, 0, luks_len(l), fd, offset, path, &err));
}

/* A raw LUKS container with data_size bytes of (undefined) data behind the header. */
static UNUSED void make_raw(const char *path, int version, uint64_t data_size, const char *passphrase)
{
	AUTOLUKS struct luks *l = luks_of(version, passphrase, NULL);
	const unsigned char *bytes;
	size_t len;
	struct error err;
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	bytes = luks_bytes(l);
	len = luks_len(l);
	assert_ok(file_pwrite(fd, bytes, len, 0, path, &err));
	assert_int_equal(ftruncate(fd, (off_t)(len + data_size)), 0);
}

static UNUSED unsigned char *read_whole(const char *path, size_t *ret_len)
{
	struct error err;
	uint64_t len;
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_ok(file_size(fd, path, &len, &err));
	unsigned char *bytes = malloc(len ? len : 1);
	assert_non_null(bytes);
	assert_ok(file_pread(fd, bytes, len, 0, path, &err));
	*ret_len = len;
	return bytes;
}

static UNUSED void write_whole(const char *path, const void *bytes, size_t len)
{
	struct error err;
	AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_ok(file_pwrite(fd, bytes, len, 0, path, &err));
}

/* stdout of the last tool, and the last line of its stderr. */
static char tool_output[65536 + 1024];

/* Runs a tool with a passphrase on descriptor 3 (or none): its status. */
static UNUSED int run_tool(const char *const argv[], const char *passphrase)
{
	AUTOSECRET struct secret *s = passphrase ? secret_of(passphrase) : NULL;
	const struct secret *secrets[] = { s };
	struct process p = { .argv = argv, .secrets = secrets, .n_secrets = s ? 1 : 0,
			     .stdout_max = 65536 };
	struct process_result res;
	struct error err;
	assert_ok(process_run(&p, &res, &err));
	int status = res.status;
	snprintf(tool_output, sizeof(tool_output), "%.65536s%.512s", res.out, res.err);
	process_result_clear(&res);
	return status;
}

#define QEMU_SECRET "secret,id=s0,file=/dev/fd/3"

/* qemu-io on an encrypted image: one command, by options, never by a probed format. */
static UNUSED int qemu_io(const char *path, const char *driver, const char *passphrase,
			  const char *command)
{
	char image[640];
	snprintf(image, sizeof(image), "driver=%s,%s=s0,file.driver=file,file.filename=%s", driver,
		 !strcmp(driver, "luks") ? "key-secret" : "encrypt.key-secret", path);
	const char *const argv[] = { "qemu-io", "--object", QEMU_SECRET, "-c", command, "--image-opts",
				     image, NULL };
	return run_tool(argv, passphrase);
}

#endif
