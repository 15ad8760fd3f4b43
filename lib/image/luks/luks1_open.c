/*
 * Opens a LUKS1 keyslot of the kind that we make and most others are ("LUKS1 On-Disk Format
 * Specification" 1.2.3, chapters 2.4 and 4.4). libcryptsetup looks SHA-256 up by name for each of the
 * 8,000 hashes of the anti-forensic merge, which costs several times the derivation itself. With Nettle,
 * as in keystore/kdf.h, and for the same reasons.
 */
#include "lib/image/luks/internal.h"

#include "base/bytes.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <nettle/pbkdf2.h>
#include <nettle/sha2.h>
#include <nettle/xts.h>
#include <string.h>

#define HASH_LEN 32 /* SHA-256 */

/* Everything a key goes through, in locked memory. */
struct state {
	struct hmac_sha256_ctx mac;
	union {
		struct xts_aes256_key aes256;
		struct xts_aes128_key aes128;
	} xts;
	size_t key_len;		/* of both XTS keys */
	struct sha256_ctx hash;
	unsigned char sector[LUKS_SECTOR];
};

static void update(void *ctx, size_t len, const uint8_t *data)
{
	hmac_sha256_update(ctx, len, data);
}

static void digest(void *ctx, size_t len, uint8_t *to)
{
	hmac_sha256_digest(ctx, len, to);
}

/* PBKDF2-HMAC-SHA-256 (RFC 8018). */
static void derive(struct state *s, const struct secret *from, const unsigned char *salt, uint32_t iterations,
		   unsigned char *to, size_t len)
{
	hmac_sha256_set_key(&s->mac, from->len, from->data);
	pbkdf2(&s->mac, update, digest, HASH_LEN, iterations, LUKS1_SALT_LEN, salt, len, to);
	secret_wipe_stack();
}

static void set_key(struct state *s, const struct secret *derived)
{
	s->key_len = derived->len;
	if (s->key_len == 64)
		xts_aes256_set_decrypt_key(&s->xts.aes256, derived->data);
	else
		xts_aes128_set_decrypt_key(&s->xts.aes128, derived->data);
}

/* "plain64": the sector's number within the key material, little endian. */
static void decrypt_sector(struct state *s, uint64_t sector, const unsigned char *from)
{
	unsigned char iv[16] = { 0 };
	for (int i = 0; i < 8; i++)
		iv[i] = (unsigned char)(sector >> (8 * i));
	if (s->key_len == 64)
		xts_aes256_decrypt_message(&s->xts.aes256, iv, LUKS_SECTOR, s->sector, from);
	else
		xts_aes128_decrypt_message(&s->xts.aes128, iv, LUKS_SECTOR, s->sector, from);
}

/* The specification's H1: each part of the block is replaced by the hash of its number and itself. */
static void diffuse(struct sha256_ctx *hash, unsigned char *block, size_t len)
{
	for (uint32_t i = 0; i < len / HASH_LEN; i++) {
		unsigned char number[4];
		put_be32(number, i);
		sha256_init(hash);
		sha256_update(hash, sizeof(number), number);
		sha256_update(hash, HASH_LEN, block + i * HASH_LEN);
		sha256_digest(hash, HASH_LEN, block + i * HASH_LEN);
	}
}

/* A sector at a time, so that little memory has to be locked. key: zeros on call. */
static void merge(struct state *s, const unsigned char *material, unsigned char *key, size_t len)
{
	for (size_t at = 0; at < len * LUKS_STRIPES; at += len) {
		size_t in = at % LUKS_SECTOR;
		if (in == 0)
			decrypt_sector(s, at / LUKS_SECTOR, material + at);
		for (size_t i = 0; i < len; i++)
			key[i] ^= s->sector[in + i];
		if (at + len < len * LUKS_STRIPES)
			diffuse(&s->hash, key, len);
	}
	secret_wipe_stack();
}

bool luks1_is_usual(const struct luks_info *info)
{
	return info->version == 1 && !strcmp(info->cipher, "aes-xts-plain64") && !strcmp(info->hash, "sha256") &&
	       (info->key_bits == 512 || info->key_bits == 256);
}

int luks1_open(const struct luks *l, int slot, const struct secret *passphrase, struct secret **ret)
{
	AUTOSECRET struct secret *derived = NULL;
	AUTOSECRET struct secret *memory = NULL;
	AUTOSECRET struct secret *key = NULL;
	unsigned char check[20];
	const struct luks_info *info = &l->info;
	const struct luks_keyslot *k = &info->keyslots[slot];
	size_t len = info->key_bits / 8;
	if (!luks1_is_usual(info) || !k->active || secret_new(len, &derived, NULL) < 0 ||
	    secret_new(sizeof(struct state), &memory, NULL) < 0 || secret_new(len, &key, NULL) < 0)
		return -ENOTSUP;
	struct state *s = (struct state *)(void *)memory->data;
	derive(s, passphrase, l->map + LUKS1_SLOT(slot) + LUKS1_SLOT_SALT, k->iterations, derived->data, len);
	set_key(s, derived);
	merge(s, l->map + k->key_offset, key->data, len);
	derive(s, key, info->digest_salt, info->digest_iterations, check, sizeof(check));
	if (!secret_same(check, info->digest, sizeof(check)))
		return -EPERM;
	*ret = TAKE_PTR(key);
	return 0;
}
