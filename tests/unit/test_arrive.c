/* What `keystore import` makes of records that no create or import has made. */
#include "cmocka_all.h"
#include "fixture.h"

#include "lib/volume/arrive.h"

#include <string.h>

static struct error why;

static struct record *good(void)
{
	struct record *r = NULL;
	assert_int_equal(record_new(&r, &why), 0);
	r->path = strdup("/srv/none/a.raw");
	r->state = RECORD_READY;
	r->format = RECORD_FORMAT_RAW;
	r->size = 8 << 20;
	r->luks_version = 2;
	uuid_generate_random(r->luks_uuid);
	strcpy(r->cipher, "aes-xts-plain64");
	r->key_bits = 512;
	r->sector_size = 4096;
	assert_int_equal(secret_random(64, &r->volume_key, &why), 0);
	assert_int_equal(secret_generate_passphrase(&r->passphrase, &why), 0);
	r->geometry = (struct record_geometry){
		.header_length = 4 << 20, .data_offset = 4 << 20, .metadata_size = 16384, .keyslots_size = 1 << 20,
	};
	r->revealed = 1;
	return r;
}

static void taken(void **state)
{
	AUTORECORD struct record *r = good();
	bool present = true;
	(void)state;
	assert_int_equal(volume_arrive(r, &present, &why), 0);
	assert_false(present);
}

#define REFUSED(change, says)                                                           \
	do {                                                                            \
		AUTORECORD struct record *r = good();                                   \
		bool present;                                                           \
		change;                                                                 \
		why = (struct error){ 0 };                                              \
		assert_true(volume_arrive(r, &present, &why) < 0);                      \
		assert_int_equal(why.kind, ERROR_DAMAGED);                              \
		assert_non_null(strstr(why.message, says));                             \
	} while (0)

static void set(char **to, const char *text)
{
	free(*to);
	*to = strdup(text);
}

static void paths(void **state)
{
	static const char *const bad[] = {
		"a.raw", "/", "/srv/../etc/shadow", "/srv/./a", "/srv//a", "/srv/a/",
		"/srv/..", "nbd:/x", "/srv/a\nb", "/srv/\xff",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		REFUSED(set(&r->path, bad[i]), "path is none");
		REFUSED(set(&r->header_path, bad[i]), "path of its header");
	}
	REFUSED(set(&r->header_path, r->path), "one file");
	REFUSED((set(&r->backing, "relative"), r->format = RECORD_FORMAT_QCOW2, r->luks_version = 1,
		 r->geometry.metadata_size = r->geometry.keyslots_size = 0), "backing file is none");
}

static void numbers(void **state)
{
	(void)state;
	REFUSED(r->format = 7, "format");
	REFUSED(r->luks_version = 3, "LUKS version");
	REFUSED(r->format = RECORD_FORMAT_QCOW2, "qcow2");
	REFUSED(set(&r->backing, "/b"), "backing");
	REFUSED(set(&r->integrity, "crc32c"), "integrity");
	REFUSED(strcpy(r->cipher, "cipher_null-ecb"), "cipher");
	REFUSED(strcpy(r->cipher, ""), "cipher");
	REFUSED(r->key_bits = 64, "length");
	REFUSED(r->key_bits = 256, "another length");
	REFUSED(secret_free(TAKE_PTR(r->passphrase)), "missing");
	REFUSED(uuid_clear(r->luks_uuid), "UUID");
	REFUSED(r->sector_size = 3000, "sector size");
	REFUSED(r->size = 0, "size");
	REFUSED(r->size = UINT64_MAX, "size");
	REFUSED(r->geometry.header_length = 0, "at no place");
	REFUSED(r->geometry.header_length = UINT64_C(1) << 40, "at no place");
	REFUSED(r->geometry.header_offset = 4096, "at no place");
	REFUSED(r->geometry.data_offset = 4096, "inside of its header");
	REFUSED(r->geometry.metadata_size = 12345, "areas");
	REFUSED(r->geometry.keyslots_size = UINT64_MAX, "areas");
	REFUSED(r->luks_version = 1, "areas of LUKS2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),
		cmocka_unit_test(paths),
		cmocka_unit_test(numbers),
	};
	return cmocka_run_group_tests_name("arrive", tests, NULL, NULL);
}
