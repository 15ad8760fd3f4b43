/* What we say QEMU's LUKS driver opens, it opens, and the rest it refuses: headers of all kinds are shown to both. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"

static struct error err;

static void put_name(unsigned char *p, const char *name)
{
	memset(p, 0, LUKS1_NAME_LEN);
	memcpy(p, name, strlen(name));
}

/*
 * The key material is of another kind, so what QEMU knows ends with "Invalid password". Its ciphers by a library may be
 * fewer than its driver's.
 */
static bool qemu_knows(const char *path)
{
	if (qemu_io(path, "luks", "pass", "quit") == 0)
		return true;
	return strstr(tool_output, "Invalid password") || strstr(tool_output, "not available");
}

/* What QEMU has learned since 7.2, and an older one on another host would refuse. */
static bool is_newer(const char *name, const char *hash)
{
	return !strcmp(name, "sm4") || !strcmp(hash, "sm3");
}

static void shown_to_both(const unsigned char *good, size_t len, const char *name, const char *mode, const char *hash,
			  unsigned key_bytes, unsigned *known)
{
	struct luks_info info;
	const char *path = in_dir("shown.luks"), *why = "nothing";
	AUTOFREE unsigned char *bytes = malloc(len + MIB);
	assert_non_null(bytes);
	memcpy(bytes, good, len);
	memset(bytes + len, 0, MIB);
	put_name(bytes + LUKS1_CIPHER, name);
	put_name(bytes + LUKS1_CIPHER_MODE, mode);
	put_name(bytes + LUKS1_HASH, hash);
	put_be32(bytes + LUKS1_KEY_BYTES, key_bytes);
	if (luks1_check(bytes, len, len, len + MIB, &info, &err) < 0)
		return;
	write_whole(path, bytes, len + MIB);
	bool ours = luks_qemu_can_open(&info, &why), theirs = qemu_knows(path);
	*known += ours;
	if (ours != theirs && !(theirs && is_newer(name, hash)))
		fail_msg("%s-%s, %s, %u bytes: we say %d (%s), QEMU: %s", name, mode, hash, key_bytes, ours, why,
			 tool_output);
}

static void we_know_what_qemu_knows(void **state)
{
	(void)state;
	static const char *const ciphers[] = {
		"aes", "AES", "serpent", "twofish", "cast5", "camellia", "des3_ede", "sm4",
	};
	static const char *const modes[] = {
		"xts-plain64", "xts-plain", "xts-essiv:sha256", "xts-benbi", "xts-plain64be", "XTS-plain64",
		"xts-PLAIN64", "xts-random", "cbc-plain", "cbc-essiv:sha256", "cbc-essiv:sha1", "cbc-essiv:md5",
		"cbc-essiv:sha512", "cbc-essiv:whirlpool", "cbc-essiv", "cbc-lmk", "ctr-plain64", "ecb-plain64",
		"lrw-benbi", "pcbc-plain64", "ecb", "xts-plain64:sha256",
	};
	static const char *const hashes[] = {
		"sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160", "whirlpool", "sha3-256", "blake2b-512",
		"sm3", "stribog256",
	};
	static const unsigned key_bytes[] = { 16, 24, 32, 48, 64 };
	size_t len;
	const unsigned char *view;
	unsigned known = 0;
	AUTOLUKS struct luks *l = luks_of(1, "pass", NULL);
	view = luks_bytes(l);
	len = luks_len(l);
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		shown_to_both(view, len, "aes", "xts-plain64", hashes[i], 64, &known);
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
		for (size_t k = 0; k < ARRAY_LEN(key_bytes); k++) {
			shown_to_both(view, len, ciphers[i], "xts-plain64", "sha256", key_bytes[k], &known);
			shown_to_both(view, len, ciphers[i], "cbc-essiv:sha256", "sha256", key_bytes[k], &known);
		}
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		shown_to_both(view, len, "aes", modes[i], "sha256", modes[i][0] == 'x' || modes[i][0] == 'X' ? 64 : 32,
			      &known);
	print_message("%u kinds that QEMU knows\n", known);
	assert_true(known > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(we_know_what_qemu_knows) };
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
