/*
 * What we demand of a LUKS2 header beyond libcryptsetup's own validation: one plain crypt
 * segment, no null cipher anywhere (2.6 accepts them, so an attacker's header could have a guest
 * write in the clear), bounded key derivation, nothing half done. "LUKS2 On-Disk Format
 * Specification" 1.1.1: 2.1 binary header, 3 JSON area.
 */
#include "lib/image/luks/internal.h"

#include "base/bytes.h"
#include "lib/image/luks/luks2_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Argon2: more than any benchmark picks; time × KiB bounds the seconds an image can cost. */
#define ARGON2_MEMORY_MAX (4u * 1024 * 1024)
#define ARGON2_WORK_MAX (UINT64_C(64) * ARGON2_MEMORY_MAX)

static int damaged(struct error *e, const char *field, const char *why)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS2 header: %s %s", field, why);
}

/* The JSON text of the header copy at offset, zero-terminated; NULL if there is no plausible one. */
static const char *copy_json(const unsigned char *bytes, size_t len, uint64_t offset,
			     const char *magic, uint64_t *ret_size)
{
	if (len < LUKS2_BIN_LEN || offset > len - LUKS2_BIN_LEN)
		return NULL;
	const unsigned char *p = bytes + offset;
	uint64_t size = get_be64(p + LUKS2_HDR_SIZE);
	if (memcmp(p, magic, LUKS_MAGIC_LEN) || get_be16(p + LUKS2_VERSION) != 2 ||
	    get_be64(p + LUKS2_HDR_OFFSET) != offset || size < LUKS2_HDR_MIN || size > LUKS2_HDR_MAX ||
	    (size & (size - 1)) || size > len - offset)
		return NULL;
	*ret_size = size;
	return memchr(p + LUKS2_BIN_LEN, 0, size - LUKS2_BIN_LEN) ? (const char *)p + LUKS2_BIN_LEN : NULL;
}

static uint64_t copy_region(const unsigned char *bytes, size_t len, uint64_t offset, const char *magic)
{
	uint64_t size, keyslots_size;
	const char *text = copy_json(bytes, len, offset, magic, &size);
	if (!text)
		return 0;
	AUTOJSON json *o = luks2_parse(text, strlen(text));
	if (!luks2_number(luks2_get(o, "config", json_type_object), "keyslots_size", &keyslots_size) ||
	    keyslots_size > LUKS2_KEYSLOTS_AREA_MAX)
		return 0;
	return 2 * size + keyslots_size;
}

int luks2_region(const unsigned char *bytes, size_t len, uint64_t *ret, struct error *e)
{
	uint64_t region = copy_region(bytes, len, 0, LUKS_MAGIC);
	for (uint64_t at = LUKS2_HDR_MIN; !region && at <= LUKS2_HDR_MAX; at *= 2)
		region = copy_region(bytes, len, at, LUKS2_MAGIC_SECOND);
	if (!region)
		return damaged(e, "both copies of the metadata", "are damaged");
	*ret = region;
	return 0;
}

int luks2_explain(const unsigned char *bytes, size_t len, struct error *e)
{
	struct luks_info info = { 0 };
	uint64_t size;
	const char *text = copy_json(bytes, len, 0, LUKS_MAGIC, &size);
	return text ? luks2_check_json(text, len, 0, &info, e) : 0;
}

static int check_requirements(json *config, struct error *e)
{
	json *list = luks2_get(luks2_get(config, "requirements", json_type_object), "mandatory", json_type_array);
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		if (name && !strncmp(name, "online-reencrypt", 16))
			return error_set(e, ERROR_DAMAGED, EINPROGRESS,
					 "LUKS2 header: a re-encryption by another program is not finished: "
					 "whoever began it has to finish it");
		return error_set(e, ERROR_DAMAGED, ENOTSUP, "LUKS2 header: unknown requirement '%s'",
				 name ? name : "?");
	}
	return 0;
}

/* dm-integrity below dm-crypt. The journal is never encrypted by cryptsetup's formats: nor do we. */
static int check_integrity(json *integrity, struct luks_info *info, struct error *e)
{
	static const char *const known[] = { "hmac(sha256)", "hmac(sha512)", "poly1305", "aead" };
	if (!integrity)
		return 0;
	const char *type = luks2_text(integrity, "type");
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(type, known[i]))
			snprintf(info->integrity, sizeof(info->integrity), "%s", type);
	if (!info->integrity[0] || strcmp(luks2_text(integrity, "journal_encryption"), "none") ||
	    strcmp(luks2_text(integrity, "journal_integrity"), "none"))
		return error_set(e, ERROR_FAILED, ENOTSUP, "LUKS2 header: integrity '%s' is not supported", type);
	return 0;
}

static int check_segment(json *root, uint64_t data_size, struct luks_info *info, struct error *e)
{
	json *segments = luks2_get(root, "segments", json_type_object);
	if (!segments || json_object_object_length(segments) != 1)
		return damaged(e, "segments", "are not exactly one");
	json *s = luks2_get(segments, "0", json_type_object);
	if (!s || strcmp(luks2_text(s, "type"), "crypt"))
		return damaged(e, "segment 0", "is not of type crypt");
	const char *cipher = luks2_text(s, "encryption");
	if (!*cipher || strlen(cipher) >= sizeof(info->cipher))
		return damaged(e, "encryption of segment 0", "is not valid");
	if (luks_cipher_is_null(cipher))
		return damaged(e, "encryption of segment 0", "is the null cipher: the data is not encrypted");
	int r = check_integrity(luks2_get(s, "integrity", json_type_object), info, e);
	if (r < 0)
		return r;
	uint64_t sector_size;
	if (!luks2_number(s, "sector_size", &sector_size) || sector_size < 512 || sector_size > 4096)
		return damaged(e, "sector size", "is out of range");
	if (!luks2_number(s, "offset", &info->data_offset))
		return damaged(e, "data offset", "is not a number");
	if (data_size && info->data_offset > data_size)
		return damaged(e, "data offset", "is behind the end of the container");
	if (!luks2_number(s, "iv_tweak", &info->iv_tweak))
		return damaged(e, "iv_tweak of segment 0", "is not a number");
	if (strcmp(luks2_text(s, "size"), "dynamic") &&
	    (!luks2_number(s, "size", &info->data_size) || !info->data_size ||
	     (data_size && info->data_size > data_size - info->data_offset)))
		return damaged(e, "size of segment 0", "is out of range");
	info->sector_size = (unsigned)sector_size;
	snprintf(info->cipher, sizeof(info->cipher), "%s", cipher);
	return 0;
}

static int check_kdf(json *kdf, struct luks_keyslot *k, const char *field, struct error *e)
{
	const char *type = luks2_text(kdf, "type");
	uint64_t n = 0, memory = 0;
	unsigned char salt[64];
	k->mark = luks2_decode(luks2_text(kdf, "salt"), salt, sizeof(salt)) >= 8 ? get_be64(salt) : 0;
	snprintf(k->kdf, sizeof(k->kdf), "%s", type);
	if (!strcmp(type, "pbkdf2")) {
		if (!luks2_number(kdf, "iterations", &n) || !n || n > LUKS_ITERATIONS_MAX)
			return damaged(e, field, "has an iteration count out of range");
	} else if (!strcmp(type, "argon2i") || !strcmp(type, "argon2id")) {
		if (!luks2_number(kdf, "time", &n) || !luks2_number(kdf, "memory", &memory) || !n ||
		    memory > ARGON2_MEMORY_MAX || n > ARGON2_WORK_MAX / (memory ? memory : 1) ||
		    n > UINT32_MAX)
			return damaged(e, field, "has Argon2 costs out of range");
	} else {
		return damaged(e, field, "has an unknown key derivation");
	}
	k->iterations = (uint32_t)n;
	return 0;
}

static int check_keyslot(json *slot, struct luks_keyslot *k, uint64_t header_len, struct error *e)
{
	char field[32];
	uint64_t key_size;
	snprintf(field, sizeof(field), "keyslot %d", k->slot);
	json *area = luks2_get(slot, "area", json_type_object);
	if (strcmp(luks2_text(slot, "type"), "luks2") || !area)
		return damaged(e, field, "is not of type luks2");
	const char *cipher = luks2_text(area, "encryption");
	if (!*cipher || luks_cipher_is_null(cipher))
		return damaged(e, field, "uses the null cipher: the volume key is not protected");
	if (!luks2_number(slot, "key_size", &key_size) || !key_size || key_size > 512)
		return damaged(e, field, "has a key size out of range");
	k->key_bits = (unsigned)key_size * 8;
	if (!luks2_number(area, "offset", &k->key_offset) || !luks2_number(area, "size", &k->key_length) ||
	    k->key_offset > header_len || k->key_length > header_len - k->key_offset)
		return damaged(e, field, "has its key material outside the header");
	k->active = true;
	return check_kdf(luks2_get(slot, "kdf", json_type_object), k, field, e);
}

static int check_keyslots(json *root, uint64_t header_len, struct luks_info *info, struct error *e)
{
	for (int i = 0; i < LUKS_KEYSLOTS_MAX; i++) {
		info->keyslots[i].slot = i;
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		json *slot = luks2_get(luks2_get(root, "keyslots", json_type_object), name, json_type_object);
		if (!slot)
			continue;
		int r = check_keyslot(slot, &info->keyslots[i], header_len, e);
		if (r < 0)
			return r;
	}
	info->n_keyslots = LUKS_KEYSLOTS_MAX;
	return 0;
}

/* The volume key is what the keyslots of the segment's digest hold; others may hold anything. */
static int bind_keyslots(json *digest, struct luks_info *info, struct error *e)
{
	json *list = luks2_get(digest, "keyslots", json_type_array);
	for (int i = 0; i < LUKS_KEYSLOTS_MAX; i++)
		info->keyslots[i].unbound = info->keyslots[i].active;
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		int n = name ? atoi(name) : -1;
		if (n < 0 || n >= LUKS_KEYSLOTS_MAX || !info->keyslots[n].active)
			return damaged(e, "digest", "of the volume key names a keyslot that is not there");
		struct luks_keyslot *k = &info->keyslots[n];
		if (info->key_bits && k->key_bits != info->key_bits)
			return damaged(e, "keyslots", "hold volume keys of different lengths");
		info->key_bits = k->key_bits;
		k->unbound = false;
	}
	return 0;
}

static bool assigned_to_segment_0(json *digest)
{
	json *list = luks2_get(digest, "segments", json_type_array);
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		if (name && !strcmp(name, "0"))
			return true;
	}
	return false;
}

static int check_digest(json *root, struct luks_info *info, struct error *e)
{
	json *digests = luks2_get(root, "digests", json_type_object);
	json *found = NULL;
	if (digests) {
		json_object_object_foreach(digests, name, digest) {
			(void)name;
			if (assigned_to_segment_0(digest))
				found = digest;
		}
	}
	if (!found)
		return damaged(e, "digest", "of the volume key is missing");
	uint64_t iterations;
	if (!luks2_number(found, "iterations", &iterations) || !iterations ||
	    iterations > LUKS_ITERATIONS_MAX)
		return damaged(e, "digest iteration count", "is out of range");
	int n = luks2_decode(luks2_text(found, "digest"), info->digest, sizeof(info->digest));
	int salt = luks2_decode(luks2_text(found, "salt"), info->digest_salt, sizeof(info->digest_salt));
	if (n <= 0 || salt <= 0)
		return damaged(e, "digest", "of the volume key is not valid");
	info->digest_iterations = (uint32_t)iterations;
	info->digest_len = (size_t)n;
	snprintf(info->hash, sizeof(info->hash), "%s", luks2_text(found, "hash"));
	return bind_keyslots(found, info, e);
}

int luks2_check_json(const char *text, size_t header_len, uint64_t data_size, struct luks_info *ret,
		     struct error *e)
{
	struct luks_info info = *ret;
	uint64_t json_size = 0;
	int r;
	AUTOJSON json *root = luks2_parse(text, strlen(text));
	json *config = luks2_get(root, "config", json_type_object);
	if (!luks2_number(config, "json_size", &json_size) ||
	    !luks2_number(config, "keyslots_size", &info.keyslots_size))
		return damaged(e, "config", "has no sizes");
	info.metadata_size = json_size + LUKS2_BIN_LEN;
	if (info.metadata_size > LUKS2_HDR_MAX || info.keyslots_size > header_len ||
	    2 * info.metadata_size > header_len - info.keyslots_size)
		return damaged(e, "config", "has sizes larger than the header");
	if ((r = check_requirements(config, e)) < 0 ||
	    (r = check_segment(root, data_size, &info, e)) < 0 ||
	    (r = check_keyslots(root, header_len, &info, e)) < 0 ||
	    (r = check_digest(root, &info, e)) < 0)
		return r;
	info.version = 2;
	*ret = info;
	return 0;
}
