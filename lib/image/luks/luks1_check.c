/*
 * The strict check of a LUKS1 partition header (phdr): pure bytes in, verdict out. Everything
 * later trusts these numbers, so nothing is allocated, opened or derived before it has passed.
 * Layout: "LUKS1 On-Disk Format Specification" 1.2.3, figures 1 (phdr) and 2 (key slot).
 */
#include "lib/image/luks/internal.h"

#include "base/bytes.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct range {
	uint64_t start, end;
};

static bool overlap(struct range a, struct range b)
{
	return a.start < b.end && b.start < a.end;
}

static int damaged(struct error *e, const char *field, const char *why)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS1 header: %s %s", field, why);
}

/* A fixed-size text field: terminated, not empty, and nothing a cipher specification never has. */
static int read_name(const unsigned char *p, const char *field, char *ret, struct error *e)
{
	if (!memchr(p, 0, LUKS1_NAME_LEN))
		return damaged(e, field, "is not terminated");
	if (!p[0])
		return damaged(e, field, "is empty");
	for (const unsigned char *c = p; *c; c++)
		if (!isalnum(*c) && !strchr("_-:(),", *c))
			return damaged(e, field, "has characters that no cipher or hash name has");
	memcpy(ret, p, strlen((const char *)p) + 1);
	return 0;
}

static bool hash_known(const char *name)
{
	static const char *const known[] = {
		"sha1",	    "sha224",	"sha256",   "sha384",	   "sha512",	  "ripemd160",
		"whirlpool", "sha3-224", "sha3-256", "sha3-384",   "sha3-512",	  "sm3",
		"blake2b-512", "blake2s-256", "stribog256", "stribog512",
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static int unsupported(struct error *e, const char *field, const char *why)
{
	return error_set(e, ERROR_FAILED, ENOTSUP, "LUKS1 header: %s %s, which is not supported", field, why);
}

/* Real ones, that a header may have and none of our libraries accepts. */
static bool hash_unsupported(const char *name)
{
	return !strcmp(name, "md5") || !strcmp(name, "md4") || !strcmp(name, "rmd160") || !strcmp(name, "tiger192");
}

static int check_cipher(const unsigned char *p, struct luks_info *info, struct error *e)
{
	char name[LUKS1_NAME_LEN], mode[LUKS1_NAME_LEN], hash[LUKS1_NAME_LEN];
	int r;
	if ((r = read_name(p + LUKS1_CIPHER, "cipher name", name, e)) < 0 ||
	    (r = read_name(p + LUKS1_CIPHER_MODE, "cipher mode", mode, e)) < 0 ||
	    (r = read_name(p + LUKS1_HASH, "hash name", hash, e)) < 0)
		return r;
	/* Name and mode are one specification for dm-crypt, so the whole of it counts. */
	snprintf(info->cipher, sizeof(info->cipher), "%s-%s", name, mode);
	if (luks_cipher_is_null(info->cipher))
		return damaged(e, "cipher", "is the null cipher: the data is not encrypted");
	if (hash_unsupported(hash))
		return unsupported(e, "hash name", "is md5 or as old");
	if (!hash_known(hash))
		return damaged(e, "hash name", "is unknown");
	snprintf(info->hash, sizeof(info->hash), "%s", hash);

	uint32_t key_bytes = get_be32(p + LUKS1_KEY_BYTES);
	if (key_bytes < 16 || key_bytes > 64)
		return damaged(e, "key bytes", "is not between 16 and 64");
	info->key_bits = key_bytes * 8;
	return 0;
}

static int check_digest(const unsigned char *p, struct luks_info *info, struct error *e)
{
	info->digest_iterations = get_be32(p + LUKS1_DIGEST_ITERATIONS);
	if (!info->digest_iterations || info->digest_iterations > LUKS_ITERATIONS_MAX)
		return damaged(e, "digest iteration count", "is out of range");
	info->digest_len = LUKS1_DIGEST_LEN;
	memcpy(info->digest, p + LUKS1_DIGEST, LUKS1_DIGEST_LEN);
	memcpy(info->digest_salt, p + LUKS1_DIGEST_SALT, LUKS1_SALT_LEN);

	const unsigned char *uuid = p + LUKS1_UUID;
	if (!memchr(uuid, 0, LUKS1_UUID_LEN) || uuid_parse((const char *)uuid, info->uuid) < 0)
		return damaged(e, "UUID", "is not valid");
	return 0;
}

/*
 * The payload is the data in a raw container. QEMU writes the same field in a qcow2 file, where
 * nothing reads it: then data_size is 0 and only its order after the key material counts. A detached
 * header has a 0 there.
 */
static int check_payload(const unsigned char *p, uint64_t data_size, struct luks_info *info,
			 struct error *e)
{
	info->data_offset = (uint64_t)get_be32(p + LUKS1_PAYLOAD) * LUKS_SECTOR;
	if (data_size && info->data_offset > data_size)
		return damaged(e, "payload offset", "is behind the end of the container");
	return 0;
}

static int check_slot(const unsigned char *p, int slot, uint64_t header_len, struct luks_info *info,
		      struct range *ret, struct error *e)
{
	struct luks_keyslot *k = &info->keyslots[slot];
	uint32_t state = get_be32(p);
	char field[64];
	k->slot = slot;
	snprintf(k->kdf, sizeof(k->kdf), "pbkdf2");

	snprintf(field, sizeof(field), "state of keyslot %d", slot);
	if (state != LUKS1_SLOT_ENABLED && state != LUKS1_SLOT_DISABLED)
		return damaged(e, field, "is neither enabled nor disabled");
	k->active = state == LUKS1_SLOT_ENABLED;

	snprintf(field, sizeof(field), "iteration count of keyslot %d", slot);
	k->iterations = k->active ? get_be32(p + LUKS1_SLOT_ITERATIONS) : 0;
	k->mark = k->active ? get_be64(p + LUKS1_SLOT_SALT) : 0;
	if (k->active && (!k->iterations || k->iterations > LUKS_ITERATIONS_MAX))
		return damaged(e, field, "is out of range");

	snprintf(field, sizeof(field), "stripes of keyslot %d", slot);
	if (get_be32(p + LUKS1_SLOT_STRIPES) != LUKS_STRIPES)
		return damaged(e, field, "is not 4000");

	snprintf(field, sizeof(field), "key material of keyslot %d", slot);
	k->key_offset = (uint64_t)get_be32(p + LUKS1_SLOT_KEY_OFFSET) * LUKS_SECTOR;
	k->key_bits = info->key_bits;
	k->key_length = (uint64_t)info->key_bits / 8 * LUKS_STRIPES;
	/* Rounded up, because the last sector is written whole. */
	ret->start = k->key_offset;
	ret->end = k->key_offset + (k->key_length + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
	/* The page of the phdr is written apart from key material, so they must not share it. */
	if (ret->start < LUKS1_PHDR_PAGE && ret->start >= LUKS1_PHDR_LEN)
		return unsupported(e, field, "begins within the first 4 KiB, as in headers of cryptsetup 1.0");
	if (ret->start < LUKS1_PHDR_PAGE)
		return damaged(e, field, "overlaps the header");
	if (ret->end > header_len)
		return damaged(e, field, "is outside the header's region");
	if (info->data_offset && ret->end > info->data_offset)
		return damaged(e, field, "overlaps the payload");
	return 0;
}

static int check_slots(const unsigned char *p, uint64_t header_len, struct luks_info *info,
		       struct error *e)
{
	struct range used[LUKS1_KEYSLOTS];
	for (int i = 0; i < LUKS1_KEYSLOTS; i++) {
		int r = check_slot(p + LUKS1_SLOT(i), i, header_len, info, &used[i], e);
		if (r < 0)
			return r;
		for (int j = 0; j < i; j++)
			if (overlap(used[i], used[j]))
				return error_set(e, ERROR_DAMAGED, EBADMSG,
						 "LUKS1 header: key material of keyslots %d and %d "
						 "overlaps", j, i);
	}
	return 0;
}

uint64_t luks1_payload_offset(const unsigned char *phdr)
{
	return (uint64_t)get_be32(phdr + LUKS1_PAYLOAD) * LUKS_SECTOR;
}

uint64_t luks1_keyslots_end(const unsigned char *phdr)
{
	uint64_t end = 0, len = (uint64_t)get_be32(phdr + LUKS1_KEY_BYTES) * LUKS_STRIPES;
	for (int i = 0; i < LUKS1_KEYSLOTS; i++) {
		uint64_t at = (uint64_t)get_be32(phdr + LUKS1_SLOT(i) + LUKS1_SLOT_KEY_OFFSET) * LUKS_SECTOR;
		end = at + len > end ? at + len : end;
	}
	return (end + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
}

int luks1_check(const void *phdr, size_t len, uint64_t header_len, uint64_t data_size,
		struct luks_info *ret, struct error *e)
{
	const unsigned char *p = phdr;
	struct luks_info info = { .version = 1, .sector_size = LUKS_SECTOR, .n_keyslots = LUKS1_KEYSLOTS };
	int r;

	if (len < LUKS1_PHDR_LEN || header_len < LUKS1_PHDR_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS1 header: too short");
	if (memcmp(p, LUKS_MAGIC, LUKS_MAGIC_LEN))
		return damaged(e, "magic", "is wrong");
	if (get_be16(p + LUKS1_VERSION) != 1)
		return damaged(e, "version", "is not 1");
	if ((r = check_cipher(p, &info, e)) < 0 || (r = check_digest(p, &info, e)) < 0 ||
	    (r = check_payload(p, data_size, &info, e)) < 0 ||
	    (r = check_slots(p, header_len, &info, e)) < 0)
		return r;
	*ret = info;
	return 0;
}
