#include "lib/posture/host/cert.h"

#include "base/library/library.h"
#include "base/secret.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PEM_MAX 65536

static void bio_free(BIO **b)
{
	BIO_free_all(*b);
}
#define AUTOBIO CLEANUP(bio_free)

static void pkey_free(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
#define AUTOPKEY CLEANUP(pkey_free)

void cert_free(X509 **cert)
{
	X509_free(*cert);
}

/* A key may be in it, so it goes to locked memory. */
static int read_pem(const char *path, struct secret **ret, struct error *e)
{
	int r = openssl_load(e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be read", path);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > PEM_MAX)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is not a file in PEM", path);
	return secret_read_fd(fd, PEM_MAX, false, path, ret, e);
}

static BIO *open_pem(const struct secret *text)
{
	return BIO_new_mem_buf(text->data, (int)text->len);
}

/* Nobody is asked: an encrypted key is one that cannot be looked at. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

int cert_read(const char *path, X509 **ret, struct error *e)
{
	AUTOSECRET struct secret *text = NULL;
	int r = read_pem(path, &text, e);
	if (r < 0)
		return r;
	AUTOBIO BIO *b = open_pem(text);
	*ret = b ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
	return *ret ? 0 : error_set(e, ERROR_DAMAGED, EBADMSG, "%s holds no certificate", path);
}

static int64_t seconds_of(const ASN1_TIME *t, int64_t otherwise)
{
	struct tm tm;
	if (!t || !ASN1_TIME_to_tm(t, &tm))
		return otherwise;
	return (int64_t)timegm(&tm) - (int64_t)time(NULL);
}

int64_t cert_seconds_left(const X509 *cert)
{
	return seconds_of(X509_getm_notAfter(cert), -1);
}

bool cert_is_too_young(const X509 *cert)
{
	return seconds_of(X509_getm_notBefore(cert), 1) > 0;
}

const char *cert_serial(const X509 *cert, char *buf, size_t len)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get_serialNumber((X509 *)(uintptr_t)cert), NULL);
	char *text = n ? BN_bn2hex(n) : NULL;
	snprintf(buf, len, "%s", text ? text : "?");
	OPENSSL_free(text);
	BN_free(n);
	return buf;
}

bool cert_equal(const X509 *a, const X509 *b)
{
	return X509_cmp(a, b) == 0;
}

const char *cert_subject(const X509 *cert, char *buf, size_t len)
{
	*buf = 0;
	X509_NAME_oneline(X509_get_subject_name(cert), buf, (int)len);
	text_make_printable(buf);
	return buf;
}

int cert_is_signed_by(X509 *cert, X509 *ca, struct error *e)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r = -ENOMEM;
	if (store && ctx && X509_STORE_add_cert(store, ca) &&
	    X509_STORE_set_flags(store, X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_PARTIAL_CHAIN) &&
	    X509_STORE_CTX_init(ctx, store, cert, NULL)) {
		r = X509_verify_cert(ctx) == 1;
		if (!r)
			error_set(e, ERROR_DAMAGED, EBADMSG, "%s",
				  X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return r < 0 ? error_oom(e) : r;
}

int cert_matches_key(const X509 *cert, const char *path, struct error *e)
{
	AUTOSECRET struct secret *text = NULL;
	int r = read_pem(path, &text, e);
	if (r < 0)
		return r;
	AUTOBIO BIO *b = open_pem(text);
	AUTOPKEY EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
	if (!key)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s holds no key that can be read without a password",
				 path);
	EVP_PKEY *own = X509_get0_pubkey(cert);
	return own && EVP_PKEY_eq(own, key) == 1;
}

/* "kvm1" is kvm1 and kvm1.example.org. */
static bool is_name_of(const GENERAL_NAME *name, const char *host)
{
	const char *text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
	size_t len = (size_t)ASN1_STRING_length(name->d.dNSName), n = strlen(host);
	return len >= n && !strncasecmp(text, host, n) && (len == n || text[n] == '.');
}

bool cert_names_host(const X509 *cert, const char *host, bool *ret_named)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;
	*ret_named = false;
	for (int i = 0; list && i < sk_GENERAL_NAME_num(list); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
		if (name->type != GEN_DNS)
			continue;
		*ret_named = true;
		found |= is_name_of(name, host);
	}
	GENERAL_NAMES_free(list);
	return found;
}

const char *cert_weakness(X509 *cert, char *buf, size_t len)
{
	const EVP_PKEY *key = X509_get0_pubkey(cert);
	int digest = 0, bits = key ? EVP_PKEY_get_bits(key) : 0, security = 0;
	int kind = key ? EVP_PKEY_get_base_id(key) : 0;
	if (!key)
		return "its key is of a kind that OpenSSL does not know";
	if ((kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS || kind == EVP_PKEY_DSA) && bits < 2048) {
		snprintf(buf, len, "its %s key has %d bits, less than 2048", kind == EVP_PKEY_DSA ? "DSA" : "RSA",
			 bits);
		return buf;
	}
	if (kind == EVP_PKEY_EC && bits < 224) {
		snprintf(buf, len, "its key has %d bits", bits);
		return buf;
	}
	X509_get_signature_info(cert, &digest, NULL, &security, NULL);
	if (digest == NID_md5 || digest == NID_md4 || digest == NID_md2 || digest == NID_sha1) {
		snprintf(buf, len, "it is signed with %s", digest == NID_sha1 ? "SHA-1" : "MD5 or older");
		return buf;
	}
	return NULL;
}

const char *cert_misuse(X509 *cert, bool server)
{
	uint32_t usage = X509_get_key_usage(cert), extended = X509_get_extended_key_usage(cert);
	if (usage != UINT32_MAX && !(usage & KU_DIGITAL_SIGNATURE))
		return "its key usage lacks digital signature";
	if (usage != UINT32_MAX && server && !(usage & KU_KEY_ENCIPHERMENT))
		return "its key usage lacks key encipherment, which libvirt asks of a server";
	if (extended != UINT32_MAX && !(extended & ((server ? XKU_SSL_SERVER : XKU_SSL_CLIENT) | XKU_ANYEKU)))
		return server ? "its extended key usage is not that of a server"
			      : "its extended key usage is not that of a client";
	return NULL;
}

bool cert_is_ca(X509 *cert)
{
	uint32_t usage = X509_get_key_usage(cert);
	return X509_check_ca(cert) == 1 && (usage == UINT32_MAX || (usage & KU_KEY_CERT_SIGN));
}

int cert_read_revocations(const char *path, X509 *ca, int64_t *ret_left, struct error *e)
{
	AUTOSECRET struct secret *text = NULL;
	int r = read_pem(path, &text, e);
	if (r < 0)
		return r;
	AUTOBIO BIO *b = open_pem(text);
	X509_CRL *crl = b ? PEM_read_bio_X509_CRL(b, NULL, no_password, NULL) : NULL;
	if (!crl)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s holds no list of revoked certificates", path);
	EVP_PKEY *key = X509_get0_pubkey(ca);
	*ret_left = seconds_of(X509_CRL_get0_nextUpdate(crl), INT64_MAX);
	r = key && X509_CRL_verify(crl, key) == 1;
	X509_CRL_free(crl);
	return r;
}
