/* LUKS headers: made, loaded, changed; and every refusal of a header that is not sound. */
#include "tests/unit/image_util.h"

#include "base/bytes.h"
#include "lib/image/luks/internal.h"

#include <nettle/sha2.h>

static struct error err;

/* A copy of a fresh header's bytes, to be changed. */
static unsigned char *header(int version, size_t *ret_len)
{
	AUTOLUKS struct luks *l = luks_of(version, "old", NULL);
	const unsigned char *bytes;
	bytes = luks_bytes(l);
	*ret_len = luks_len(l);
	unsigned char *copy = malloc(*ret_len);
	assert_non_null(copy);
	return memcpy(copy, bytes, *ret_len);
}

static void rotate_in_memory(int version)
{
	AUTOSECRET struct secret *old = secret_of("old"), *new = secret_of("new");
	AUTOSECRET struct secret *key = NULL, *got = NULL;
	AUTOLUKS struct luks *l = luks_of(version, "old", &key);
	int slot = -1;

	assert_ok(luks_unlock(l, -1, old, &slot, &got, &err));
	assert_int_equal(slot, 0);
	assert_true(secret_equal(key, got));
	assert_fails(luks_unlock(l, -1, new, &slot, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
	assert_fails(luks_unlock(l, 1, old, &slot, NULL, &err), ERROR_NOT_FOUND, "keyslot 1 is not");
	assert_fails(luks_remove_keyslot(l, 0, &err), ERROR_REFUSED, "the last one");

	assert_ok(luks_add_keyslot(l, -1, key, new, LUKS_KDF_GENERATED, &slot, &err));
	assert_int_equal(slot, 1);
	assert_int_equal(luks_info(l)->keyslots[1].iterations, 1000);
	assert_fails(luks_add_keyslot(l, 1, key, new, LUKS_KDF_GENERATED, NULL, &err), ERROR_EXISTS,
		     "keyslot 1 is in use");
	assert_ok(luks_remove_keyslot(l, 0, &err));
	assert_false(luks_info(l)->keyslots[0].active);
	assert_fails(luks_unlock(l, -1, old, &slot, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
	assert_ok(luks_unlock(l, -1, new, &slot, NULL, &err));
	assert_int_equal(slot, 1);
	assert_fails(luks_remove_keyslot(l, 0, &err), ERROR_NOT_FOUND, "keyslot 0 is not in use");
	assert_fails(luks_remove_keyslot(l, 99, &err), ERROR_NOT_FOUND, "keyslot 99");
}

static void a_passphrase_is_rotated(void **state)
{
	(void)state;
	rotate_in_memory(1);
	rotate_in_memory(2);
}

/* What we open ourselves is what libcryptsetup opens, in every slot. */
static void luks1_opens_as_libcryptsetup_does(void **state)
{
	(void)state;
	AUTOSECRET struct secret *pass = secret_of("first"),
				 *other = secret_of("second, longer than a block of SHA-256 is wide, so that HMAC "
						    "hashes it");
	for (unsigned bits = 256; bits <= 512; bits += 256) {
		AUTOLUKS struct luks *l = NULL;
		AUTOSECRET struct secret *key = NULL, *ours = NULL, *theirs = NULL, *none = NULL;
		struct luks_params p = { .version = 1, .cipher = "aes-xts-plain64", .key_bits = bits,
					 .sector_size = 512 };
		int slot;
		assert_ok(luks_format(&p, pass, LUKS_KDF_GENERATED, &l, &key, &err));
		assert_ok(luks_add_keyslot(l, 5, key, other, LUKS_KDF_GENERATED, &slot, &err));
		assert_int_equal(luks1_open(l, 5, other, &ours), 0);
		assert_ok(luks_unlock(l, -1, other, &slot, &theirs, &err));
		assert_int_equal(slot, 5);
		assert_true(secret_equal(ours, theirs) && secret_equal(ours, key));
		assert_int_equal(luks1_open(l, 0, other, &none), -EPERM);
		assert_int_equal(luks1_open(l, 1, pass, &none), -ENOTSUP);
		assert_null(none);
		assert_fails(luks_unlock(l, 0, other, &slot, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
	}
	AUTOLUKS struct luks *two = luks_of(2, "first", NULL);
	struct secret *none = NULL;
	assert_int_equal(luks1_open(two, 0, pass, &none), -ENOTSUP);
}

static void the_format_is_as_documented(void **state)
{
	(void)state;
	static const unsigned char uuid[16] = { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89 };
	AUTOSECRET struct secret *pass = secret_of("x");
	for (int version = 1; version <= 2; version++) {
		AUTOLUKS struct luks *l = NULL;
		AUTOSECRET struct secret *key = NULL;
		struct luks_params p = { .version = version, .cipher = "aes-xts-plain64",
					 .key_bits = 256, .sector_size = 512, .uuid = uuid };
		assert_ok(luks_format(&p, pass, LUKS_KDF_GENERATED, &l, &key, &err));
		const struct luks_info *i = luks_info(l);
		assert_int_equal(i->version, version);
		assert_string_equal(i->cipher, "aes-xts-plain64");
		assert_string_equal(i->hash, "sha256");
		assert_int_equal(i->key_bits, 256);
		assert_int_equal(i->digest_iterations, 1000);
		assert_int_equal(i->digest_len, version == 1 ? 20 : 32);
		assert_int_equal(i->data_offset, version == 1 ? LUKS1_PAYLOAD_OFFSET : LUKS2_DATA_OFFSET);
		assert_int_equal(i->n_keyslots, version == 1 ? 8 : 32);
		assert_memory_equal(i->uuid, uuid, 16);
		assert_int_equal(key->len, 32);
		assert_string_equal(i->keyslots[0].kdf, "pbkdf2");
	}
}

static void a_persons_passphrase_costs_more(void **state)
{
	(void)state;
	AUTOSECRET struct secret *pass = secret_of("person"), *key = NULL;
	AUTOLUKS struct luks *one = luks_of(1, "x", &key);
	int slot;
	assert_ok(luks_add_keyslot(one, -1, key, pass, LUKS_KDF_PERSON, &slot, &err));
	assert_int_equal(luks_info(one)->keyslots[slot].iterations, 2000000);
	assert_ok(luks_add_keyslot(one, -1, key, pass, LUKS_KDF_GENERATED, &slot, &err));
	assert_int_equal(luks_info(one)->keyslots[slot].iterations, 1000);

	AUTOSECRET struct secret *key2 = NULL;
	AUTOLUKS struct luks *two = luks_of(2, "x", &key2);
	assert_ok(luks_add_keyslot(two, -1, key2, pass, LUKS_KDF_PERSON, &slot, &err));
	assert_string_equal(luks_info(two)->keyslots[slot].kdf, "argon2id");
	assert_int_equal(luks_info(two)->keyslots[slot].iterations, 4);
}

static void a_foreign_volume_key_is_refused(void **state)
{
	(void)state;
	AUTOSECRET struct secret *pass = secret_of("new"), *other = NULL;
	assert_ok(secret_random(64, &other, &err));
	for (int version = 1; version <= 2; version++) {
		AUTOLUKS struct luks *l = luks_of(version, "old", NULL);
		assert_fails(luks_add_keyslot(l, -1, other, pass, LUKS_KDF_GENERATED, NULL, &err),
			     ERROR_BAD_KEY, "not the one of this header");
		assert_false(luks_info(l)->keyslots[1].active);
	}
}

static void the_slots_run_out(void **state)
{
	(void)state;
	AUTOSECRET struct secret *pass = secret_of("x"), *key = NULL;
	AUTOLUKS struct luks *l = luks_of(1, "old", &key);
	for (int i = 1; i < 8; i++)
		assert_ok(luks_add_keyslot(l, -1, key, pass, LUKS_KDF_GENERATED, NULL, &err));
	assert_fails(luks_add_keyslot(l, -1, key, pass, LUKS_KDF_GENERATED, NULL, &err), ERROR_FAILED,
		     "all keyslots are in use");
	assert_fails(luks_add_keyslot(l, 8, key, pass, LUKS_KDF_GENERATED, NULL, &err), ERROR_USAGE,
		     "no keyslot 8");
}

static void bad_format_parameters_are_refused(void **state)
{
	(void)state;
	const struct {
		struct luks_params p;
		const char *why;
	} bad[] = {
		{ { .version = 3, .cipher = "aes-xts-plain64", .key_bits = 512, .sector_size = 512 },
		  "neither 1 nor 2" },
		{ { .version = 1, .cipher = NULL, .key_bits = 512, .sector_size = 512 }, "not a cipher" },
		{ { .version = 1, .cipher = "aes", .key_bits = 512, .sector_size = 512 }, "not a cipher" },
		{ { .version = 1, .cipher = "-xts", .key_bits = 512, .sector_size = 512 }, "not a cipher" },
		{ { .version = 1, .cipher = "aes-", .key_bits = 512, .sector_size = 512 }, "not a cipher" },
		{ { .version = 1, .cipher = "cipher_null-ecb", .key_bits = 512, .sector_size = 512 }, "null cipher" },
		{ { .version = 2, .cipher = "capi:ecb(cipher_null)-plain", .key_bits = 512, .sector_size = 512 },
		  "null cipher" },
		{ { .version = 1, .cipher = "aes-xts-plain64", .key_bits = 520, .sector_size = 512 }, "520 bits" },
		{ { .version = 1, .cipher = "aes-xts-plain64", .key_bits = 0, .sector_size = 512 }, "0 bits" },
		{ { .version = 1, .cipher = "aes-xts-plain64", .key_bits = 512, .sector_size = 4096 },
		  "512 bytes only" },
		{ { .version = 1, .cipher = "aes-xts-plain64", .key_bits = 512, .sector_size = 512, .label = "x" },
		  "no label" },
	};
	AUTOSECRET struct secret *pass = secret_of("x");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct luks *l = NULL;
		struct secret *key = NULL;
		assert_fails(luks_format(&bad[i].p, pass, LUKS_KDF_GENERATED, &l, &key, &err),
			     ERROR_USAGE, bad[i].why);
		assert_null(l);
		assert_null(key);
	}
}

/* Writes to the memfd alone: what was handed in stays as it was. */
static void the_callers_bytes_are_never_written(void **state)
{
	(void)state;
	for (int version = 1; version <= 2; version++) {
		AUTOSECRET struct secret *old = secret_of("old"), *new = secret_of("new"), *key = NULL;
		AUTOLUKS struct luks *l = NULL;
		size_t len;
		AUTOFREE unsigned char *bytes = header(version, &len);
		AUTOFREE unsigned char *copy = malloc(len);
		/* A damaged second copy is what libcryptsetup repairs when it reads. */
		if (version == 2)
			bytes[16384 + 600] ^= 1;
		memcpy(copy, bytes, len);
		assert_ok(luks_load(bytes, len, 0, &l, &err));
		assert_ok(luks_unlock(l, -1, old, NULL, &key, &err));
		assert_ok(luks_add_keyslot(l, -1, key, new, LUKS_KDF_GENERATED, NULL, &err));
		assert_memory_equal(bytes, copy, len);
	}
}

/* Our checks know more names of hashes than libcryptsetup can do: who looks is told so, as is who changes. */
static void a_hash_that_cannot_be_done_is_named(void **state)
{
	(void)state;
	size_t len;
	struct luks *l = NULL;
	AUTOFREE unsigned char *bytes = header(1, &len);
	memset(bytes + 72, 0, 32);
	memcpy(bytes + 72, "stribog512", 10);
	assert_fails(luks_load(bytes, len, 0, &l, &err), ERROR_DAMAGED, "stribog512");
	assert_fails(luks_load_used(bytes, len, 0, &l, &err), ERROR_DAMAGED, "stribog512");
}

/* What is only looked at starts libcryptsetup when it is needed: to try all keyslots, or to change one. */
static void what_is_looked_at_can_be_used(void **state)
{
	(void)state;
	AUTOSECRET struct secret *old = secret_of("old"), *new = secret_of("new"), *wrong = secret_of("wrong"),
				 *key = NULL;
	AUTOSECRET struct secret *again = NULL;
	AUTOLUKS struct luks *l = NULL;
	size_t len;
	int slot = -1;
	AUTOFREE unsigned char *bytes = header(1, &len);
	assert_ok(luks_load_used(bytes, len, 0, &l, &err));
	assert_int_equal(luks_info(l)->key_bits, 512);
	assert_fails(luks_unlock(l, 0, wrong, NULL, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
	assert_ok(luks_unlock(l, 0, old, &slot, &key, &err));
	assert_fails(luks_unlock(l, -1, wrong, NULL, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
	assert_ok(luks_add_keyslot(l, -1, key, new, LUKS_KDF_GENERATED, &slot, &err));
	assert_ok(luks_unlock(l, slot, new, NULL, &again, &err));
	assert_true(secret_equal(key, again));
	assert_ok(luks_remove_keyslot(l, 0, &err));
	assert_fails(luks_unlock(l, -1, old, NULL, NULL, &err), ERROR_BAD_KEY, "opens no keyslot");
}

struct patch {
	size_t at;
	int width;	/* bytes, big-endian; 0: none */
	uint64_t value;
};

#define SLOT(n) (208 + 48 * (n))
#define KEY_SECTORS 500	/* 64 bytes × 4000 stripes */

static const struct refusal {
	const char *why;
	struct patch patch[2];
} refusals[] = {
	{ "magic", { { 0, 1, 'X' } } },
	{ "version", { { 6, 2, 2 } } },
	{ "cipher name is empty", { { 8, 1, 0 } } },
	{ "cipher name has characters", { { 8, 1, 27 } } },
	{ "cipher name has characters", { { 8, 1, '/' } } },
	{ "cipher mode is empty", { { 40, 1, 0 } } },
	{ "cipher mode has characters", { { 41, 1, '%' } } },
	{ "hash name is unknown", { { 72, 8, UINT64_C(0x6d64360000000000) } } },	/* md6 */
	{ "hash name is empty", { { 72, 1, 0 } } },
	{ "payload offset is behind the end", { { 104, 4, 4097 } } },
	{ "payload offset is behind the end", { { 104, 4, UINT32_MAX } } },
	{ "key bytes", { { 108, 4, 15 } } },
	{ "key bytes", { { 108, 4, 65 } } },
	{ "key bytes", { { 108, 4, UINT32_MAX } } },
	{ "digest iteration count", { { 164, 4, 0 } } },
	{ "digest iteration count", { { 164, 4, 100000001 } } },
	{ "UUID", { { 168, 1, 'x' } } },
	{ "UUID", { { 168, 1, 0 } } },
	{ "state of keyslot 0", { { SLOT(0), 4, 0 } } },
	{ "state of keyslot 7", { { SLOT(7), 4, 0xffffffff } } },
	{ "iteration count of keyslot 0", { { SLOT(0) + 4, 4, 0 } } },
	{ "iteration count of keyslot 0", { { SLOT(0) + 4, 4, UINT32_MAX } } },
	{ "stripes of keyslot 0", { { SLOT(0) + 44, 4, 1 } } },
	{ "stripes of keyslot 3", { { SLOT(3) + 44, 4, UINT32_MAX } } },
	{ "key material of keyslot 0 overlaps the header", { { SLOT(0) + 40, 4, 1 } } },
	{ "key material of keyslot 0 overlaps the header", { { SLOT(0) + 40, 4, 0 } } },
	{ "key material of keyslot 7 is outside", { { SLOT(7) + 40, 4, UINT32_MAX } } },
	{ "key material of keyslot 7 is outside", { { SLOT(7) + 40, 4, 4096 - KEY_SECTORS + 1 } } },
	{ "key material of keyslot 7 overlaps the payload",
	  { { 104, 4, 4000 }, { SLOT(7) + 40, 4, 4000 - KEY_SECTORS + 1 } } },
	{ "key material of keyslots 0 and 1 overlaps", { { SLOT(1) + 40, 4, 8 + KEY_SECTORS - 1 } } },
	{ "key material of keyslots 0 and 7 overlaps", { { SLOT(7) + 40, 4, 8 } } },
};

static void every_refusal_of_luks1_names_its_field(void **state)
{
	(void)state;
	size_t len;
	AUTOFREE unsigned char *good = header(1, &len);
	AUTOFREE unsigned char *bytes = malloc(len);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct luks_info info;
		memcpy(bytes, good, len);
		for (size_t j = 0; j < ARRAY_LEN(refusals[i].patch); j++) {
			const struct patch *p = &refusals[i].patch[j];
			for (int k = 0; k < p->width; k++)
				bytes[p->at + k] = (unsigned char)(p->value >> (8 * (p->width - 1 - k)));
		}
		memset(&err, 0, sizeof(err));
		if (luks1_check(bytes, len, len, len, &info, &err) >= 0)
			fail_msg("not refused: %s", refusals[i].why);
		if (err.kind != ERROR_DAMAGED || !strstr(err.message, refusals[i].why))
			fail_msg("'%s' instead of '%s'", err.message, refusals[i].why);
		struct luks *l = NULL;
		assert_true(luks_load(bytes, len, len, &l, &err) < 0);
		assert_int_equal(err.kind, ERROR_DAMAGED);
		assert_null(l);
	}
}

/* What others made so, and is whole, is not called damaged. */
static void what_is_not_supported_is_not_damaged(void **state)
{
	(void)state;
	static const struct refusal unsupported[] = {
		{ "hash name is md5 or as old, which is not supported", { { 72, 8, UINT64_C(0x6d64350000000000) } } },
		{ "as in headers of cryptsetup 1.0, which is not supported", { { SLOT(0) + 40, 4, 2 } } },
	};
	size_t len;
	for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
		struct luks_info info;
		AUTOFREE unsigned char *bytes = header(1, &len);
		const struct patch *p = &unsupported[i].patch[0];
		for (int k = 0; k < p->width; k++)
			bytes[p->at + k] = (unsigned char)(p->value >> (8 * (p->width - 1 - k)));
		assert_fails(luks1_check(bytes, len, len, len, &info, &err), ERROR_FAILED, unsupported[i].why);
	}
}

static void a_detached_luks1_header_has_no_payload(void **state)
{
	(void)state;
	size_t len;
	struct luks_info info;
	uint64_t region;
	AUTOFREE unsigned char *bytes = header(1, &len);
	memset(bytes + 104, 0, 4);
	assert_ok(luks1_check(bytes, len, len, len, &info, &err));
	assert_int_equal(info.data_offset, 0);
	/* Its region is that of its keyslots. */
	assert_ok(luks_region_of(bytes, len, &region, &err));
	assert_true(region <= len && region >= info.keyslots[7].key_offset + info.keyslots[7].key_length);
}

static void names_must_end_and_not_be_null_ciphers(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		const char *name, *why;
	} names[] = {
		{ 8, "cipher_null", "cipher is the null cipher" },
		{ 8, "CIPHER_NULL", "cipher is the null cipher" },
		{ 8, "capi:ecb(cipher_null)", "cipher is the null cipher" },
		{ 40, "cbc-essinulla256", "cipher is the null cipher" },	/* found by fuzz_luks1 */
		{ 8, "0123456789012345678901234567890123456789", "cipher name is not terminated" },
		{ 40, "0123456789012345678901234567890123456789", "cipher mode is not terminated" },
		{ 72, "0123456789012345678901234567890123456789", "hash name is not terminated" },
	};
	size_t len;
	AUTOFREE unsigned char *good = header(1, &len);
	AUTOFREE unsigned char *bytes = malloc(len);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct luks_info info;
		memcpy(bytes, good, len);
		memcpy(bytes + names[i].at, names[i].name,
		       strlen(names[i].name) < 32 ? strlen(names[i].name) + 1 : 32);
		assert_fails(luks1_check(bytes, len, len, len, &info, &err), ERROR_DAMAGED, names[i].why);
	}
}

static void cut_off_headers_are_refused(void **state)
{
	(void)state;
	static const size_t lens1[] = { 0, 5, 8, 591, 592, 4096, 262144, 2066431 };
	static const size_t lens2[] = { 0, 8, 4095, 4096, 16384, 20480, 32768, 1048576, LUKS2_DATA_OFFSET - 1 };
	for (int version = 1; version <= 2; version++) {
		size_t len, n = version == 1 ? ARRAY_LEN(lens1) : ARRAY_LEN(lens2);
		AUTOFREE unsigned char *good = header(version, &len);
		for (size_t i = 0; i < n; i++) {
			struct luks *l = NULL;
			size_t cut_len = version == 1 ? lens1[i] : lens2[i];
			AUTOFREE unsigned char *cut = malloc(cut_len ? cut_len : 1);
			memcpy(cut, good, cut_len);
			assert_fails(luks_load(cut, cut_len, 0, &l, &err), ERROR_DAMAGED, "header");
		}
	}
}

/* Replaces text in the JSON of both copies and repairs their checksums, as an attacker would. */
static bool edit_json(unsigned char *bytes, const char *from, const char *to)
{
	for (size_t copy = 0; copy < 32768; copy += 16384) {
		unsigned char *p = bytes + copy;
		char *json = (char *)p + 4096, edited[16384] = { 0 };
		char *at = strstr(json, from);
		if (!at)
			return false;
		snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - json), json, to,
			 at + strlen(from));
		memcpy(json, edited, 16384 - 4096);
		memset(p + 448, 0, 64);
		struct sha256_ctx sum;
		sha256_init(&sum);
		sha256_update(&sum, 16384, p);
		sha256_digest(&sum, 32, p + 448);
	}
	return true;
}

static void unsound_luks2_metadata_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *why;
	} edits[] = {
		/* A segment in the clear, and a volume key wrapped in nothing: CVE-2025-59054's class. */
		{ "\"encryption\":\"aes-xts-plain64\",\"sector_size\"",
		  "\"encryption\":\"cipher_null-ecb\",\"sector_size\"", "segment 0 is the null cipher" },
		{ "\"encryption\":\"aes-xts-plain64\",\"key_size\"",
		  "\"encryption\":\"cipher_null-ecb\",\"key_size\"", "keyslot 0 uses the null cipher" },
		{ "\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"later\"]},",
		  "unknown requirement 'later'" },
		{ "\"iterations\":1000", "\"iterations\":2000000000", "out of range" },
		{ "\"segments\":[\"0\"]", "\"segments\":[]", "digest" },
		{ "\"sector_size\":512", "\"sector_size\":256", "sector size" },
		{ "\"keyslots_size\":\"", "\"keyslots_size\":\"99", "damaged" },
		{ "\"offset\":\"32768\"", "\"offset\":\"99999744\"", "keyslot 0 has its key material" },
		{ "\"type\":\"crypt\"", "\"type\":\"linear\"", "segment 0 is not of type crypt" },
		{ "\"kdf\":{\"type\":\"pbkdf2\"", "\"kdf\":{\"type\":\"scrypt\"", "unknown key derivation" },
		{ "{\"keyslots\"", "{{\"keyslots\"", "damaged" },
	};
	size_t len;
	AUTOFREE unsigned char *good = header(2, &len);
	AUTOFREE unsigned char *bytes = malloc(len);
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		struct luks *l = NULL;
		memcpy(bytes, good, len);
		if (!edit_json(bytes, edits[i].from, edits[i].to))
			fail_msg("'%s' is not in %s", edits[i].from, (char *)bytes + 4096);
		memset(&err, 0, sizeof(err));
		if (luks_load(bytes, len, 0, &l, &err) >= 0)
			fail_msg("accepted: %s", edits[i].to);
		if (err.kind != ERROR_DAMAGED || !strstr(err.message, edits[i].why))
			fail_msg("%s: '%s' instead of '%s'", edits[i].to, err.message, edits[i].why);
	}
}

static void one_sound_copy_of_luks2_metadata_is_enough(void **state)
{
	(void)state;
	AUTOSECRET struct secret *old = secret_of("old");
	for (int copy = 0; copy < 2; copy++) {
		AUTOLUKS struct luks *l = NULL;
		size_t len;
		AUTOFREE unsigned char *bytes = header(2, &len);
		memset(bytes + copy * 16384, 0, 16384);
		assert_int_equal(luks_version_of(bytes, len), 2);
		assert_ok(luks_load(bytes, len, 0, &l, &err));
		assert_ok(luks_unlock(l, -1, old, NULL, NULL, &err));
	}
	struct luks *l = NULL;
	size_t len;
	AUTOFREE unsigned char *bytes = header(2, &len);
	memset(bytes + 100, 0, 32768 - 100);
	assert_fails(luks_load(bytes, len, 0, &l, &err), ERROR_DAMAGED, "both copies");
}

static void an_unfinished_reencryption_is_refused(void **state)
{
	(void)state;
	const char *path = in_dir("reencrypt.img");
	const char *const argv[] = { "cryptsetup", "reencrypt", "--init-only", "--batch-mode",
				     "--key-file", "/dev/fd/3", "--pbkdf", "pbkdf2",
				     "--pbkdf-force-iterations", "1000", path, NULL };
	struct luks *l = NULL;
	make_raw(path, 2, 32 * MIB, "old");
	if (run_tool(argv, "old")) {
		print_message("cryptsetup: %s\n", tool_output);
		skip();
	}
	size_t len;
	AUTOFREE unsigned char *bytes = read_whole(path, &len);
	assert_fails(luks_load(bytes, 16 * MIB, len, &l, &err), ERROR_DAMAGED,
		     "re-encryption by another program is not finished");
	assert_int_equal(err.err, EINPROGRESS);
}

/* Nothing in this machine's OpenSSL does twofish; QEMU's nettle or gcrypt does. */
static void a_missing_cipher_is_no_wrong_key(void **state)
{
	(void)state;
	AUTOSECRET struct secret *pass = secret_of("old");
	struct luks *made = NULL;
	struct secret *key = NULL;
	struct luks_params p = { .version = 1, .cipher = "twofish-xts-plain64", .key_bits = 512,
				 .sector_size = 512 };
	if (luks_format(&p, pass, LUKS_KDF_GENERATED, &made, &key, &err) == 0) {
		luks_free(made);
		secret_free(key);
		skip();	/* this kernel does it */
	}
	assert_int_equal(err.err, ENOTSUP);
	assert_non_null(strstr(err.message, "not available on this machine"));

	size_t len;
	AUTOLUKS struct luks *l = NULL;
	AUTOFREE unsigned char *bytes = header(1, &len);
	memcpy(bytes + 8, "twofish", 8);
	assert_ok(luks_load(bytes, len, 0, &l, &err));
	assert_fails(luks_unlock(l, -1, pass, NULL, NULL, &err), ERROR_FAILED,
		     "cipher twofish-xts-plain64 is not available on this machine");
	assert_int_equal(err.err, ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_passphrase_is_rotated),
		cmocka_unit_test(luks1_opens_as_libcryptsetup_does),
		cmocka_unit_test(the_format_is_as_documented),
		cmocka_unit_test(a_persons_passphrase_costs_more),
		cmocka_unit_test(a_foreign_volume_key_is_refused),
		cmocka_unit_test(the_slots_run_out),
		cmocka_unit_test(bad_format_parameters_are_refused),
		cmocka_unit_test(the_callers_bytes_are_never_written),
		cmocka_unit_test(every_refusal_of_luks1_names_its_field),
		cmocka_unit_test(what_is_not_supported_is_not_damaged),
		cmocka_unit_test(a_detached_luks1_header_has_no_payload),
		cmocka_unit_test(names_must_end_and_not_be_null_ciphers),
		cmocka_unit_test(cut_off_headers_are_refused),
		cmocka_unit_test(unsound_luks2_metadata_is_refused),
		cmocka_unit_test(one_sound_copy_of_luks2_metadata_is_enough),
		cmocka_unit_test(an_unfinished_reencryption_is_refused),
		cmocka_unit_test(a_missing_cipher_is_no_wrong_key),
		cmocka_unit_test(a_hash_that_cannot_be_done_is_named),
		cmocka_unit_test(what_is_looked_at_can_be_used),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
