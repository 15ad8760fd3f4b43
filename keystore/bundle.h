/*
 * Records under way to another keystore: a CMS message (RFC 5652, AuthEnvelopedData of RFC 5083 with
 * AES-256-GCM) to a passphrase or to the certificate of the other keystore. FORMAT.md says every byte.
 */
#ifndef KEYSTORE_BUNDLE_H
#define KEYSTORE_BUNDLE_H

#include "base/error.h"
#include "base/secret.h"

#include <stddef.h>

/*
 * The certificate that others encrypt to: self-signed, for a P-256 key derived from the root key, so it
 * changes with keystore_rekey(). PEM; the caller frees.
 */
int bundle_certificate(const struct secret *root, const char *name, char **ret, struct error *e);

/* One of passphrase and certificate (PEM). *ret: DER, the caller frees. */
int bundle_encrypt(const struct secret *content, const struct secret *passphrase, const char *certificate,
		   unsigned char **ret, size_t *ret_len, struct error *e);

/* One of passphrase and root. ERROR_BAD_KEY when it does not open, ERROR_DAMAGED when it is no such message. */
int bundle_decrypt(const void *data, size_t len, const struct secret *passphrase, const struct secret *root,
		   struct secret **ret, struct error *e);

#endif
