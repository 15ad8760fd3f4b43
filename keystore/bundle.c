#include "keystore/bundle.h"
#include "keystore/bundle_pair.h"

#include "base/library/library.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

/* Of a person's passphrase: about a second. CMS knows PBKDF2 only (RFC 3211, 2.3). */
#define ITERATIONS 2000000
#define CONTENT_MAX (4u * 1024 * 1024)

static void cms_freep(CMS_ContentInfo **p) { CMS_ContentInfo_free(*p); }

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
		return bundle_fail(certificate ? "encrypt to this certificate" : "encrypt with this passphrase", e);
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
	if (root && (r = bundle_key_pair(root, BUNDLE_DECRYPTS, &pair, e)) < 0)
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
