/*
 * LUKS2 metadata, on any JSON: our look at it, and then a whole header with it, both copies with right checksums, so
 * that what is behind them (our checks, libcryptsetup's, and ours after its) is reached. Input that is JSON is changed
 * as JSON: a value, a key, a part more or less.
 */
#include "lib/image/luks/internal.h"

#include "base/bytes.h"
#include "keystore/record/kdf.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what) do { if (!(what)) abort(); } while (0)
#define HEADER (16u * 1024 * 1024)
#define COPY (16u * 1024)	/* of the metadata */
#define CHECKSUM 448
#define SMALL (1024u * 1024)	/* a whole header: the copies and some keyslots */

static void check_accepted(const struct luks_info *info, uint64_t header)
{
	CHECK(info->version == 2 && info->cipher[0] && !strcasestr(info->cipher, "null"));
	CHECK(2 * info->metadata_size + info->keyslots_size <= header);
	CHECK(info->sector_size >= 512 && info->sector_size <= 4096);
	CHECK(info->digest_len && info->digest_len <= sizeof(info->digest));
	for (int i = 0; i < info->n_keyslots; i++) {
		const struct luks_keyslot *k = &info->keyslots[i];
		CHECK(!k->active || (k->key_offset <= header && k->key_length <= header - k->key_offset));
	}
}

/* ---- a header around it ---- */

static void put_copy(unsigned char *at, const char *magic, uint64_t offset, const uint8_t *text, size_t len)
{
	unsigned char hash[HASH_LEN];
	memcpy(at, magic, LUKS_MAGIC_LEN);
	at[LUKS2_VERSION] = 0;
	at[LUKS2_VERSION + 1] = 2;
	put_be64(at + LUKS2_HDR_SIZE, COPY);
	put_be64(at + 16, 1);
	memcpy(at + 72, "sha256", 6);
	memset(at + 104, 7, 64);
	memcpy(at + 168, "12345678-1234-1234-1234-123456789abc", 36);
	put_be64(at + LUKS2_HDR_OFFSET, offset);
	memcpy(at + LUKS2_BIN_LEN, text, len < COPY - LUKS2_BIN_LEN - 1 ? len : COPY - LUKS2_BIN_LEN - 1);
	kdf_sha256(at, COPY, hash);
	memcpy(at + CHECKSUM, hash, sizeof(hash));
}

static void whole_header(const uint8_t *text, size_t len)
{
	static unsigned char bytes[SMALL];
	AUTOLUKS struct luks *l = NULL;
	memset(bytes, 0, 2 * COPY);
	put_copy(bytes, LUKS_MAGIC, 0, text, len);
	put_copy(bytes + COPY, LUKS2_MAGIC_SECOND, COPY, text, len);
	if (luks_load(bytes, sizeof(bytes), 0, &l, NULL) == 0)
		check_accepted(luks_info(l), sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct luks_info info = { 0 };
	struct error e = { 0 };
	uint64_t region;
	/* The JSON in a container: binary header of the least size, magic, version 2, hdr_size. */
	static unsigned char bytes[LUKS2_HDR_MIN];
	const uint64_t limit = 2 * (uint64_t)LUKS2_HDR_MAX + LUKS2_KEYSLOTS_AREA_MAX;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, LUKS_MAGIC "\0\2\0\0\0\0\0\0\x40", 16);
	memcpy(bytes + LUKS2_BIN_LEN, data, size < 12288 ? size : 12288);
	if (luks_region_of(bytes, sizeof(bytes), &region, &e) == 0)
		CHECK(region >= 2 * LUKS2_HDR_MIN && region <= limit);
	if (luks_region_of(data, size, &region, &e) == 0)
		CHECK(region <= limit);
	AUTOFREE char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (luks2_check_json(text, HEADER, 0, &info, &e) == 0) {
		check_accepted(&info, HEADER);
		whole_header(data, size);
	}
	return 0;
}

/* ---- changes that keep it JSON ---- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static uint32_t next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 8;
}

static json_object *some_value(unsigned *seed)
{
	static const char *const texts[] = {
		"0", "1", "16384", "4194304", "18446744073709551615", "-1", "dynamic", "", "aes-xts-plain64",
		"aes-cbc-essiv:sha256", "cipher_null-ecb", "crypt", "linear", "luks2", "reencrypt", "pbkdf2",
		"argon2id", "sha256", "backup-final", "online-reencrypt", "hmac(sha256)", "AAAA", "9223372036854775807",
		"512",
	};
	static const int64_t numbers[] = { 0, 1, -1, 32, 64, 512, 4096, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN };
	switch (next(seed) % 6) {
	case 0:
		return json_object_new_int64(numbers[next(seed) % ARRAY_LEN(numbers)]);
	case 1:
		return json_object_new_object();
	case 2:
		return json_object_new_array();
	default:
		return json_object_new_string(texts[next(seed) % ARRAY_LEN(texts)]);
	}
}

static void change_object(json_object *o, unsigned *seed);

static void change_array(json_object *a, unsigned *seed)
{
	size_t n = json_object_array_length(a);
	if (!n || next(seed) % 4 == 0) {
		json_object_array_add(a, some_value(seed));
		return;
	}
	size_t i = next(seed) % n;
	json_object *v = json_object_array_get_idx(a, i);
	if (json_object_is_type(v, json_type_object) && next(seed) % 2)
		change_object(v, seed);
	else if (next(seed) % 2)
		json_object_array_put_idx(a, i, some_value(seed));
	else
		json_object_array_del_idx(a, i, 1);
}

/* The value of one key: gone, another, a copy under a number, or something changed inside of it. */
static void change_object(json_object *o, unsigned *seed)
{
	int n = json_object_object_length(o), i = n ? (int)(next(seed) % (unsigned)n) : -1;
	char name[16], key[64] = "";
	json_object *v = NULL;
	json_object_object_foreach(o, k, val) {
		if (i-- == 0) {
			snprintf(key, sizeof(key), "%s", k);
			v = val;
		}
	}
	snprintf(name, sizeof(name), "%u", next(seed) % 34);
	bool deeper = next(seed) % 8 > 1;
	if (v && deeper && json_object_is_type(v, json_type_object)) {
		change_object(v, seed);
	} else if (v && deeper && json_object_is_type(v, json_type_array)) {
		change_array(v, seed);
	} else if (v && next(seed) % 4 == 0) {
		json_object_object_del(o, key);
	} else if (v && next(seed) % 3 == 0) {
		json_object *copy = NULL;
		if (json_object_deep_copy(v, &copy, NULL) == 0)
			json_object_object_add(o, name, copy);
	} else {
		json_object_object_add(o, v ? key : name, some_value(seed));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	AUTOFREE char *text = strndup((const char *)data, size);
	json_object *o = text && next(&seed) % 8 ? json_tokener_parse(text) : NULL;
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return LLVMFuzzerMutate(data, size, max);
	}
	for (unsigned i = next(&seed) % 3; i < 3; i++)
		change_object(o, &seed);
	const char *now = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(now);
	if (len > max)
		len = max;
	memcpy(data, now, len);
	json_object_put(o);
	return len;
}
