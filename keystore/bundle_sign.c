/*
 * Who made a bundle. The signature is inside of what is encrypted, and covers for whom it is: a bundle that was opened
 * cannot be sent on to another as if the first sender had.
 */
#include "keystore/bundle.h"
#include "keystore/bundle_pair.h"
#include "keystore/record/tlv.h"

#include "base/library/library.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define MAGIC "KVMS"
#define VERSION 1
#define HEAD_LEN (4 + 4 + BUNDLE_ID_LEN + 4)
#define SIGNATURE_MAX 80	/* DER of two numbers of 256 bits */
static const char context[] = "kvmcrypt bundle signature v1";

static void md_freep(EVP_MD_CTX **p) { EVP_MD_CTX_free(*p); }

/* What is signed: the context, for whom, the content. */
static int signed_bytes(const unsigned char to[BUNDLE_ID_LEN], const unsigned char *content, size_t len,
			struct secret **ret, struct error *e)
{
	int r = secret_new(sizeof(context) + BUNDLE_ID_LEN + len, ret, e);
	if (r < 0)
		return r;
	unsigned char *p = mempcpy((*ret)->data, context, sizeof(context));
	p = mempcpy(p, to, BUNDLE_ID_LEN);
	memcpy(p, content, len);
	return 0;
}

static int recipient(const char *certificate, unsigned char ret[BUNDLE_ID_LEN], struct error *e)
{
	CLEANUP(x509_freep) X509 *x = NULL;
	memset(ret, 0, BUNDLE_ID_LEN);
	if (!certificate)
		return 0;
	int r = bundle_find_certificate(certificate, BUNDLE_DECRYPTS, &x, e);
	if (r == 0 && !X509_pubkey_digest(x, EVP_sha256(), ret, NULL))
		r = bundle_fail("read this certificate", e);
	return r;
}

int bundle_sign(const struct secret *root, const char *certificate, struct secret **content, struct error *e)
{
	AUTOSECRET struct secret *bytes = NULL;
	AUTOSECRET struct secret *whole = NULL;
	CLEANUP(pkey_freep) EVP_PKEY *pair = NULL;
	unsigned char to[BUNDLE_ID_LEN], signature[SIGNATURE_MAX];
	size_t len = sizeof(signature);
	int r = openssl_load(e);
	if (r < 0 || (r = recipient(certificate, to, e)) < 0 ||
	    (r = bundle_key_pair(root, BUNDLE_SIGNS, &pair, e)) < 0 ||
	    (r = signed_bytes(to, (*content)->data, (*content)->len, &bytes, e)) < 0)
		return r;
	CLEANUP(md_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	if (!md || EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pair) <= 0 ||
	    EVP_DigestSign(md, signature, &len, bytes->data, bytes->len) <= 0)
		return bundle_fail("sign the bundle", e);
	if ((r = secret_new(HEAD_LEN + len + (*content)->len, &whole, e)) < 0)
		return r;
	unsigned char *p = mempcpy(whole->data, MAGIC, 4);
	put_be(p, VERSION, 4);
	p = mempcpy(p + 4, to, BUNDLE_ID_LEN);
	put_be(p, len, 4);
	p = mempcpy(p + 4, signature, len);
	memcpy(p, (*content)->data, (*content)->len);
	secret_free(*content);
	*content = TAKE_PTR(whole);
	return 0;
}

/* ---- the other side ---- */

static int verify(const char *from, const unsigned char to[BUNDLE_ID_LEN], const unsigned char *signature, size_t len,
		  const unsigned char *content, size_t content_len, struct error *e)
{
	AUTOSECRET struct secret *bytes = NULL;
	CLEANUP(x509_freep) X509 *x = NULL;
	int r = bundle_find_certificate(from, BUNDLE_SIGNS, &x, e);
	if (r < 0 || (r = signed_bytes(to, content, content_len, &bytes, e)) < 0)
		return r;
	CLEANUP(pkey_freep) EVP_PKEY *key = X509_get_pubkey(x);
	CLEANUP(md_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	if (!key || !md || EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) <= 0)
		return bundle_fail("use the sender's certificate", e);
	int ok = EVP_DigestVerify(md, signature, len, bytes->data, bytes->len);
	ERR_clear_error();
	if (ok == 1)
		return 0;
	return error_set(e, ERROR_DAMAGED, EBADMSG, "it was not signed by the keystore of this certificate");
}

static int check_recipient(const struct secret *root, const unsigned char to[BUNDLE_ID_LEN], struct error *e)
{
	unsigned char own[BUNDLE_ID_LEN] = { 0 };
	int r = root ? bundle_own_id(root, own, e) : 0;
	if (r == 0 && memcmp(own, to, sizeof(own)) != 0)
		r = error_set(e, ERROR_DAMAGED, EBADMSG, "it was signed for another keystore, and sent on by somebody");
	return r;
}

int bundle_check_sender(const struct secret *root, const char *from, struct secret **content, struct error *e)
{
	const struct secret *c = *content;
	AUTOSECRET struct secret *inner = NULL;
	if (c->len < 4 || memcmp(c->data, MAGIC, 4) != 0)
		return !from ? 0
			     : error_set(e, ERROR_REFUSED, EPERM,
					 "it is not signed: `kvmcrypt keystore export --sign` makes one that is");
	const unsigned char *to = c->data + 8, *signature = c->data + HEAD_LEN;
	size_t len = c->len >= HEAD_LEN ? get_be(to + BUNDLE_ID_LEN, 4) : 0;
	if (!len || len > SIGNATURE_MAX || len > c->len - HEAD_LEN || get_be(c->data + 4, 4) != VERSION)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the bundle is malformed, or made by a newer kvmcrypt");
	const unsigned char *rest = signature + len;
	size_t rest_len = c->len - HEAD_LEN - len;
	int r = from ? check_recipient(root, to, e) : 0;
	if (r == 0 && from)
		r = verify(from, to, signature, len, rest, rest_len, e);
	if (r == 0)
		r = secret_copy(rest, rest_len, &inner, e);
	if (r < 0)
		return r;
	secret_free(*content);
	*content = TAKE_PTR(inner);
	return 0;
}
