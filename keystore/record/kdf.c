#include "keystore/record/kdf.h"

#include <nettle/hkdf.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <string.h>

_Static_assert(HASH_LEN == SHA256_DIGEST_SIZE, "SHA-256");

/* States that hold a key: in locked memory, wiped with it. */
struct work {
	struct hmac_sha256_ctx mac;
	unsigned char prk[HASH_LEN];	/* RFC 5869's name for what the extraction gives */
};

static void update(void *ctx, size_t len, const uint8_t *data)
{
	hmac_sha256_update(ctx, len, data);
}

static void digest(void *ctx, size_t len, uint8_t *to)
{
	hmac_sha256_digest(ctx, len, to);
}

int kdf_derive(const struct secret *key, const void *salt, size_t salt_len, const void *info,
	       size_t info_len, size_t len, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *memory = NULL;
	AUTOSECRET struct secret *out = NULL;
	/* RFC 5869, 2.3: the counter is one byte. */
	if (!len || len > 255 * HASH_LEN)
		return error_set(e, ERROR_USAGE, EINVAL, "a key of %zu bytes cannot be derived: at most %d", len,
				 255 * HASH_LEN);
	int r = secret_new(sizeof(struct work), &memory, e);
	if (r < 0 || (r = secret_new(len, &out, e)) < 0)
		return r;
	struct work *w = (struct work *)(void *)memory->data;
	hmac_sha256_set_key(&w->mac, salt_len, salt);
	hkdf_extract(&w->mac, update, digest, HASH_LEN, key->len, key->data, w->prk);
	hmac_sha256_set_key(&w->mac, HASH_LEN, w->prk);
	hkdf_expand(&w->mac, update, digest, HASH_LEN, info_len, info, len, out->data);
	secret_wipe_stack();
	*ret = TAKE_PTR(out);
	return 0;
}

int kdf_root_id(const struct secret *root, uuid_t ret, struct error *e)
{
	static const char info[] = "kvmcrypt root key id v1";
	AUTOSECRET struct secret *id = NULL;
	int r = kdf_derive(root, NULL, 0, info, sizeof(info) - 1, sizeof(uuid_t), &id, e);
	if (r < 0)
		return r;
	memcpy(ret, id->data, sizeof(uuid_t));
	/* RFC 9562: version 8, "custom", and the usual variant, so that it reads as a UUID. */
	ret[6] = (ret[6] & 0x0f) | 0x80;
	ret[8] = (ret[8] & 0x3f) | 0x80;
	return 0;
}

int kdf_hmac(const struct secret *key, const void *data, size_t len, unsigned char ret[HASH_LEN],
	     struct error *e)
{
	AUTOSECRET struct secret *memory = NULL;
	int r = secret_new(sizeof(struct work), &memory, e);
	if (r < 0)
		return r;
	struct work *w = (struct work *)(void *)memory->data;
	hmac_sha256_set_key(&w->mac, key->len, key->data);
	hmac_sha256_update(&w->mac, len, data);
	hmac_sha256_digest(&w->mac, HASH_LEN, ret);
	secret_wipe_stack();
	return 0;
}

void kdf_sha256(const void *data, size_t len, unsigned char ret[HASH_LEN])
{
	struct sha256_ctx ctx;
	sha256_init(&ctx);
	sha256_update(&ctx, len, data);
	sha256_digest(&ctx, HASH_LEN, ret);
}
