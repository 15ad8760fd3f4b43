/* The two key pairs of a keystore, and the certificates that tell others of them. */
#include "keystore/bundle_pair.h"

#include "base/library/library.h"
#include "keystore/bundle.h"
#include "keystore/record/kdf.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define YEARS 30

static void bn_freep(BIGNUM **p) { BN_clear_free(*p); }
static void group_freep(EC_GROUP **p) { EC_GROUP_free(*p); }
static void point_freep(EC_POINT **p) { EC_POINT_free(*p); }
static void bld_freep(OSSL_PARAM_BLD **p) { OSSL_PARAM_BLD_free(*p); }
static void params_freep(OSSL_PARAM **p) { OSSL_PARAM_free(*p); }
static void pctx_freep(EVP_PKEY_CTX **p) { EVP_PKEY_CTX_free(*p); }

int bundle_fail(const char *doing, struct error *e)
{
	char why[160] = "OpenSSL gives no reason";
	unsigned long code = ERR_peek_last_error();
	if (code)
		ERR_error_string_n(code, why, sizeof(why));
	ERR_clear_error();
	return error_set(e, ERROR_FAILED, EIO, "cannot %s: %s", doing, why);
}

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

int bundle_key_pair(const struct secret *root, enum bundle_use use, EVP_PKEY **ret, struct error *e)
{
	const char *info = use == BUNDLE_SIGNS ? "kvmcrypt signing key v1" : "kvmcrypt bundle key v1";
	AUTOSECRET struct secret *seed = NULL;
	int r = kdf_derive(root, NULL, 0, info, strlen(info), 40, &seed, e);
	if (r < 0)
		return r;
	*ret = make_pair(seed);
	return *ret ? 0 : bundle_fail("derive the keystore's key pair", e);
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

static bool fill_certificate(X509 *x, EVP_PKEY *pair, enum bundle_use use, const char *name)
{
	X509_NAME *n = X509_get_subject_name(x);
	return X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
	       X509_gmtime_adj(X509_getm_notAfter(x), YEARS * 365L * 86400) && X509_set_pubkey(x, pair) &&
	       X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const unsigned char *)"kvmcrypt keystore", -1, -1,
					  0) &&
	       X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) &&
	       X509_set_issuer_name(x, n) && add_extension(x, NID_subject_key_identifier, "hash") &&
	       
	       add_extension(x, NID_key_usage,
			     use == BUNDLE_SIGNS ? "critical,digitalSignature" : "critical,keyAgreement") &&
	       X509_sign(x, pair, EVP_sha256());
}

static int write_certificate(const struct secret *root, enum bundle_use use, const char *name, BIO *out,
			     struct error *e)
{
	CLEANUP(pkey_freep) EVP_PKEY *pair = NULL;
	CLEANUP(x509_freep) X509 *x = X509_new();
	int r = bundle_key_pair(root, use, &pair, e);
	if (r < 0)
		return r;
	if (!x || !fill_certificate(x, pair, use, name) || !PEM_write_bio_X509(out, x))
		return bundle_fail("make the keystore's certificate", e);
	return 0;
}

int bundle_certificate(const struct secret *root, const char *name, char **ret, struct error *e)
{
	int r = openssl_load(e);
	if (r < 0)
		return r;
	CLEANUP(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	char *data = NULL;
	if (!out)
		return error_oom(e);
	/* Who only encrypts takes the first. */
	r = write_certificate(root, BUNDLE_DECRYPTS, name, out, e);
	if (r == 0)
		r = write_certificate(root, BUNDLE_SIGNS, name, out, e);
	if (r < 0)
		return r;
	long len = BIO_get_mem_data(out, &data);
	*ret = strndup(data, (size_t)len);
	return *ret ? 0 : error_oom(e);
}

int bundle_own_id(const struct secret *root, unsigned char ret[BUNDLE_ID_LEN], struct error *e)
{
	CLEANUP(pkey_freep) EVP_PKEY *pair = NULL;
	CLEANUP(x509_freep) X509 *x = X509_new();
	int r = bundle_key_pair(root, BUNDLE_DECRYPTS, &pair, e);
	if (r == 0 && (!x || !X509_set_pubkey(x, pair) || !X509_pubkey_digest(x, EVP_sha256(), ret, NULL)))
		r = bundle_fail("tell the keystore's own key", e);
	return r;
}

int bundle_find_certificate(const char *pem, enum bundle_use use, X509 **ret, struct error *e)
{
	CLEANUP(bio_freep) BIO *in = BIO_new_mem_buf(pem, -1);
	const uint32_t usage = use == BUNDLE_SIGNS ? KU_DIGITAL_SIGNATURE : KU_KEY_AGREEMENT;
	int n = 0;
	if (!in)
		return error_oom(e);
	for (X509 *x; (x = PEM_read_bio_X509(in, NULL, NULL, NULL)); n++) {
		if (X509_get_key_usage(x) & usage) {
			*ret = x;
			return 0;
		}
		X509_free(x);
	}
	if (!n)
		return bundle_fail("read this certificate", e);
	ERR_clear_error();
	return error_set(e, ERROR_USAGE, EINVAL,
			 "the certificate has no key that %s; `kvmcrypt keystore certificate` on that host prints both",
			 use == BUNDLE_SIGNS ? "signs" : "decrypts");
}
