#include "keystore/bundle.h"

#include "base/library/library.h"
#include "keystore/record/kdf.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Of a person's passphrase: about a second. CMS knows PBKDF2 only (RFC 3211, 2.3). */
#define ITERATIONS 2000000
#define CONTENT_MAX (4u * 1024 * 1024)
#define YEARS 30

static void bio_freep(BIO **p) { BIO_free_all(*p); }
static void cms_freep(CMS_ContentInfo **p) { CMS_ContentInfo_free(*p); }
static void x509_freep(X509 **p) { X509_free(*p); }
static void pkey_freep(EVP_PKEY **p) { EVP_PKEY_free(*p); }
static void bn_freep(BIGNUM **p) { BN_clear_free(*p); }
static void group_freep(EC_GROUP **p) { EC_GROUP_free(*p); }
static void point_freep(EC_POINT **p) { EC_POINT_free(*p); }
static void bld_freep(OSSL_PARAM_BLD **p) { OSSL_PARAM_BLD_free(*p); }
static void params_freep(OSSL_PARAM **p) { OSSL_PARAM_free(*p); }
static void pctx_freep(EVP_PKEY_CTX **p) { EVP_PKEY_CTX_free(*p); }

static int fail(const char *doing, struct error *e)
{
	char why[160] = "OpenSSL gives no reason";
	unsigned long code = ERR_peek_last_error();
	if (code)
		ERR_error_string_n(code, why, sizeof(why));
	ERR_clear_error();
	return error_set(e, ERROR_FAILED, EIO, "cannot %s: %s", doing, why);
}

/* ---- the key pair ---- */

/* FIPS 186-4, B.4.1: 64 more bits than the order has, reduced. */
static BIGNUM *scalar(const struct secret *seed, const EC_GROUP *group)
{
	CLEANUP(bn_freep) BIGNUM *n = BN_secure_new();
	BIGNUM *d = BN_secure_new();
	BN_CTX *ctx = BN_CTX_secure_new();
	bool ok = n && d && ctx && BN_copy(n, EC_GROUP_get0_order(group)) && BN_sub_word(n, 1) &&
		  BN_bin2bn(seed->data, (int)seed->len, d) && BN_mod(d, d, n, ctx) && BN_add_word(d, 1);
	BN_CTX_free(ctx);
	if (ok)
		return d;
	BN_clear_free(d);
	return NULL;
}

static EVP_PKEY *make_pair(const struct secret *seed)
{
	CLEANUP(group_freep) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	CLEANUP(bn_freep) BIGNUM *d = group ? scalar(seed, group) : NULL;
	CLEANUP(point_freep) EC_POINT *q = group ? EC_POINT_new(group) : NULL;
	CLEANUP(bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	CLEANUP(pctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	unsigned char public[65];
	EVP_PKEY *pair = NULL;
	if (!d || !q || !bld || !ctx || !EC_POINT_mul(group, q, d, NULL, NULL, NULL) ||
	    EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, public, sizeof(public), NULL) !=
		    sizeof(public) ||
	    !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, public, sizeof(public)) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d))
		return NULL;
	CLEANUP(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 || EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_KEYPAIR, params) <= 0)
		return NULL;
	return pair;
}

static int key_pair(const struct secret *root, EVP_PKEY **ret, struct error *e)
{
	static const char info[] = "kvmcrypt bundle key v1";
	AUTOSECRET struct secret *seed = NULL;
	int r = kdf_derive(root, NULL, 0, info, sizeof(info) - 1, 40, &seed, e);
	if (r < 0)
		return r;
	*ret = make_pair(seed);
	return *ret ? 0 : fail("derive the keystore's key pair", e);
}

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext && X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

static bool fill_certificate(X509 *x, EVP_PKEY *pair, const char *name)
{
	X509_NAME *n = X509_get_subject_name(x);
	return X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
	       X509_gmtime_adj(X509_getm_notAfter(x), YEARS * 365L * 86400) && X509_set_pubkey(x, pair) &&
	       X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const unsigned char *)"kvmcrypt keystore", -1, -1,
					  0) &&
	       X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) &&
	       X509_set_issuer_name(x, n) && add_extension(x, NID_subject_key_identifier, "hash") &&
	       add_extension(x, NID_key_usage, "critical,keyAgreement") && X509_sign(x, pair, EVP_sha256());
}

int bundle_certificate(const struct secret *root, const char *name, char **ret, struct error *e)
{
	int r = openssl_load(e);
	if (r < 0)
		return r;
	CLEANUP(pkey_freep) EVP_PKEY *pair = NULL;
	CLEANUP(x509_freep) X509 *x = X509_new();
	CLEANUP(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	char *data = NULL;
	if ((r = key_pair(root, &pair, e)) < 0)
		return r;
	if (!x || !out || !fill_certificate(x, pair, name) || !PEM_write_bio_X509(out, x))
		return fail("make the keystore's certificate", e);
	long len = BIO_get_mem_data(out, &data);
	*ret = strndup(data, (size_t)len);
	return *ret ? 0 : error_oom(e);
}

/* ---- messages ---- */

static CMS_ContentInfo *encrypt_to(BIO *in, const char *certificate)
{
	CLEANUP(bio_freep) BIO *pem = BIO_new_mem_buf(certificate, -1);
	CLEANUP(x509_freep) X509 *x = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
	STACK_OF(X509) *to = sk_X509_new_null();
	CMS_ContentInfo *cms = NULL;
	if (x && to && sk_X509_push(to, x))
		cms = CMS_encrypt(to, in, EVP_aes_256_gcm(), CMS_BINARY | CMS_USE_KEYID);
	sk_X509_free(to);
	return cms;
}

static CMS_ContentInfo *encrypt_by(BIO *in, const struct secret *passphrase)
{
	CMS_ContentInfo *cms = CMS_encrypt(NULL, in, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);
	/* OpenSSL keeps the pointer till the message is finished, and frees it: it gets a copy. */
	unsigned char *copy = cms ? OPENSSL_memdup(passphrase->data, passphrase->len) : NULL;
	if (copy &&
	    CMS_add0_recipient_password(cms, ITERATIONS, NID_undef, NID_undef, copy, (ossl_ssize_t)passphrase->len,
					EVP_aes_256_cbc()) &&
	    CMS_final(cms, in, NULL, CMS_BINARY))
		return cms;
	CMS_ContentInfo_free(cms);
	return NULL;
}

int bundle_encrypt(const struct secret *content, const struct secret *passphrase, const char *certificate,
		   unsigned char **ret, size_t *ret_len, struct error *e)
{
	int r = openssl_load(e);
	if (r < 0)
		return r;
	CLEANUP(bio_freep) BIO *in = BIO_new_mem_buf(content->data, (int)content->len);
	CLEANUP(cms_freep) CMS_ContentInfo *cms = NULL;
	unsigned char *der = NULL;
	if (!in)
		return error_oom(e);
	cms = certificate ? encrypt_to(in, certificate) : encrypt_by(in, passphrase);
	int len = cms ? i2d_CMS_ContentInfo(cms, &der) : -1;
	if (len < 0)
		return fail(certificate ? "encrypt to this certificate" : "encrypt with this passphrase", e);
	*ret = malloc((size_t)len);
	if (*ret)
		memcpy(*ret, der, (size_t)len);
	OPENSSL_free(der);
	*ret_len = (size_t)len;
	return *ret ? 0 : error_oom(e);
}

static int unlock(CMS_ContentInfo *cms, const struct secret *passphrase, EVP_PKEY *pair)
{
	if (pair)
		return CMS_decrypt_set1_pkey(cms, pair, NULL);
	return CMS_decrypt_set1_password(cms, passphrase->data, (ossl_ssize_t)passphrase->len);
}

int bundle_decrypt(const void *data, size_t len, const struct secret *passphrase, const struct secret *root,
		   struct secret **ret, struct error *e)
{
	const unsigned char *p = data;
	int r = openssl_load(e);
	if (r < 0)
		return r;
	CLEANUP(cms_freep) CMS_ContentInfo *cms = len <= CONTENT_MAX ? d2i_CMS_ContentInfo(NULL, &p, (long)len) : NULL;
	CLEANUP(pkey_freep) EVP_PKEY *pair = NULL;
	CLEANUP(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	char *plain = NULL;
	if (root && (r = key_pair(root, &pair, e)) < 0)
		return r;
	/* A message that is only encrypted could be changed unnoticed. */
	if (!cms || !out || OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData) {
		ERR_clear_error();
		return error_set(e, ERROR_DAMAGED, EBADMSG, "it is no bundle of a keystore");
	}
	int ok = unlock(cms, passphrase, pair) == 1 && CMS_decrypt(cms, NULL, NULL, NULL, out, CMS_BINARY) == 1;
	long n = BIO_get_mem_data(out, &plain);
	if (ok && n > 0)
		r = secret_copy(plain, (size_t)n, ret, e);
	else
		r = error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
			      root ? "it is not for this keystore, or was changed"
				   : "this passphrase does not open it, or it was changed");
	if (n > 0)
		secret_wipe(plain, (size_t)n);
	ERR_clear_error();
	return r;
}
