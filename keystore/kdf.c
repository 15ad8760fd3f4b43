#include "keystore/kdf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

static void kdf_ctx_freep(EVP_KDF_CTX **p)
{
	EVP_KDF_CTX_free(*p);
}

static void kdf_freep(EVP_KDF **p)
{
	EVP_KDF_free(*p);
}

int kdf_derive(const struct secret *key, const void *salt, size_t salt_len, const void *info,
	       size_t info_len, size_t len, struct secret **ret, struct error *e)
{
	CLEANUP(kdf_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	CLEANUP(kdf_ctx_freep) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	AUTOSECRET struct secret *out = NULL;
	if (!ctx)
		return error_set(e, ERROR_FAILED, ENOMEM, "OpenSSL offers no HKDF");
	int r = secret_new(len, &out, e);
	if (r < 0)
		return r;
	/* OpenSSL only reads these; its parameter type has no const. */
	OSSL_PARAM params[5], *p = params;
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->data, key->len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_len);
	if (salt_len)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len);
	*p = OSSL_PARAM_construct_end();
	if (EVP_KDF_derive(ctx, out->data, len, params) != 1)
		return error_set(e, ERROR_FAILED, EIO, "cannot derive a key (HKDF-SHA-256)");
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
	unsigned char mac[HASH_LEN];
	size_t n = 0;
	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->data, key->len, data, len, mac,
		       sizeof(mac), &n) || n != sizeof(mac))
		return error_set(e, ERROR_FAILED, EIO, "cannot compute HMAC-SHA-256");
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

int kdf_sha256(const void *data, size_t len, unsigned char ret[HASH_LEN], struct error *e)
{
	size_t n = 0;
	if (!EVP_Q_digest(NULL, "SHA256", NULL, data, len, ret, &n) || n != HASH_LEN)
		return error_set(e, ERROR_FAILED, EIO, "cannot compute SHA-256");
	return 0;
}
