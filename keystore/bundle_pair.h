/*
 * A keystore's key pairs: P-256, derived from the root key, so they change with it. One decrypts what others send, one
 * signs what is sent; no key does both.
 */
#ifndef KEYSTORE_BUNDLE_PAIR_H
#define KEYSTORE_BUNDLE_PAIR_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

enum bundle_use { BUNDLE_DECRYPTS, BUNDLE_SIGNS };
#define BUNDLE_ID_LEN 32	/* SHA-256 of a public key */

static inline void bio_freep(BIO **p) { BIO_free_all(*p); }
static inline void x509_freep(X509 **p) { X509_free(*p); }
static inline void pkey_freep(EVP_PKEY **p) { EVP_PKEY_free(*p); }

/* ERROR_FAILED with OpenSSL's reason. */
int bundle_fail(const char *doing, struct error *e);

int bundle_key_pair(const struct secret *root, enum bundle_use use, EVP_PKEY **ret, struct error *e);
/* Of the pair that decrypts. */
int bundle_own_id(const struct secret *root, unsigned char ret[BUNDLE_ID_LEN], struct error *e);
/* The certificate for that use among those in pem. The caller frees. ERROR_USAGE: none of them is. */
int bundle_find_certificate(const char *pem, enum bundle_use use, X509 **ret, struct error *e);

#endif
