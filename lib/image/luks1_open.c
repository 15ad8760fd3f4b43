/*
 * Opens a LUKS1 keyslot of the kind that we make and most others are ("LUKS1 On-Disk Format
 * Specification" 1.2.3, chapters 2.4 and 4.4). libcryptsetup looks SHA-256 up by name for each of the
 * 8,000 hashes of the anti-forensic merge, which costs several times the derivation itself.
 */
#include "lib/image/luks_internal.h"

#include "lib/image/bytes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define SALT_LEN 32
#define HASH_LEN 32 /* SHA-256 */
#define PHDR_SLOT_SALT(slot) (208 + 48 * (slot) + 8)

struct tools {
	EVP_MD *sha256;
	EVP_MD_CTX *hash;
	EVP_CIPHER *xts;
	EVP_CIPHER_CTX *cipher;
};

static void tools_clear(struct tools *t)
{
	EVP_MD_CTX_free(t->hash);
	EVP_MD_free(t->sha256);
	EVP_CIPHER_CTX_free(t->cipher);
	EVP_CIPHER_free(t->xts);
}

static bool tools_get(struct tools *t, size_t key_len)
{
	t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	t->hash = EVP_MD_CTX_new();
	t->xts = EVP_CIPHER_fetch(NULL, key_len == 64 ? "AES-256-XTS" : "AES-128-XTS", NULL);
	t->cipher = EVP_CIPHER_CTX_new();
	return t->sha256 && t->hash && t->xts && t->cipher;
}

static bool pbkdf2(const struct tools *t, const struct secret *from, const unsigned char *salt, uint32_t iterations,
		   unsigned char *to, size_t len)
{
	return PKCS5_PBKDF2_HMAC((const char *)from->data, (int)from->len, salt, SALT_LEN, (int)iterations,
				 t->sha256, (int)len, to) == 1;
}

/* "plain64": the sector's number within the key material, little endian. */
static bool decrypt_sector(const struct tools *t, uint64_t sector, const unsigned char *from, unsigned char *to)
{
	unsigned char iv[16] = { 0 };
	int len;
	for (int i = 0; i < 8; i++)
		iv[i] = (unsigned char)(sector >> (8 * i));
	return EVP_DecryptInit_ex2(t->cipher, NULL, NULL, iv, NULL) == 1 &&
	       EVP_DecryptUpdate(t->cipher, to, &len, from, LUKS_SECTOR) == 1 && len == (int)LUKS_SECTOR;
}

/* The specification's H1: each part of the block is replaced by the hash of its number and itself. */
static bool diffuse(const struct tools *t, unsigned char *block, size_t len)
{
	for (uint32_t i = 0; i < len / HASH_LEN; i++) {
		unsigned char number[4];
		put_be32(number, i);
		if (EVP_DigestInit_ex2(t->hash, t->sha256, NULL) != 1 ||
		    EVP_DigestUpdate(t->hash, number, sizeof(number)) != 1 ||
		    EVP_DigestUpdate(t->hash, block + i * HASH_LEN, HASH_LEN) != 1 ||
		    EVP_DigestFinal_ex(t->hash, block + i * HASH_LEN, NULL) != 1)
			return false;
	}
	return true;
}

/* A sector at a time, so that little memory has to be locked. key: zeros on call. */
static bool merge(const struct tools *t, const unsigned char *material, unsigned char *sector, unsigned char *key,
		  size_t len)
{
	for (size_t at = 0; at < len * LUKS_STRIPES; at += len) {
		size_t in = at % LUKS_SECTOR;
		if (in == 0 && !decrypt_sector(t, at / LUKS_SECTOR, material + at, sector))
			return false;
		for (size_t i = 0; i < len; i++)
			key[i] ^= sector[in + i];
		if (at + len < len * LUKS_STRIPES && !diffuse(t, key, len))
			return false;
	}
	return true;
}

static bool is_ours_to_open(const struct luks_info *info, const struct luks_keyslot *k)
{
	return info->version == 1 && !strcmp(info->cipher, "aes-xts-plain64") && !strcmp(info->hash, "sha256") &&
	       (info->key_bits == 512 || info->key_bits == 256) && k->active;
}

int luks1_open(const struct luks *l, int slot, const struct secret *passphrase, struct secret **ret)
{
	CLEANUP(tools_clear) struct tools t = { 0 };
	AUTOSECRET struct secret *derived = NULL;
	AUTOSECRET struct secret *sector = NULL;
	AUTOSECRET struct secret *key = NULL;
	unsigned char digest[20];
	const struct luks_info *info = &l->info;
	const struct luks_keyslot *k = &info->keyslots[slot];
	size_t len = info->key_bits / 8;
	if (!is_ours_to_open(info, k) || !tools_get(&t, len) || secret_new(len, &derived, NULL) < 0 ||
	    secret_new(LUKS_SECTOR, &sector, NULL) < 0 || secret_new(len, &key, NULL) < 0)
		return -ENOTSUP;
	if (!pbkdf2(&t, passphrase, l->map + PHDR_SLOT_SALT(slot), k->iterations, derived->data, len) ||
	    EVP_DecryptInit_ex2(t.cipher, t.xts, derived->data, NULL, NULL) != 1 ||
	    !merge(&t, l->map + k->key_offset, sector->data, key->data, len) ||
	    !pbkdf2(&t, key, info->digest_salt, info->digest_iterations, digest, sizeof(digest)))
		return -ENOTSUP;
	if (CRYPTO_memcmp(digest, info->digest, sizeof(digest)))
		return -EPERM;
	*ret = TAKE_PTR(key);
	return 0;
}
