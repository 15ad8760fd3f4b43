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
 * Two certificates, self-signed, for P-256 keys derived from the root key, so they change with keystore_rekey(): the
 * first is what others encrypt to, the second by what they know who signed. PEM; the caller frees.
 */
int bundle_certificate(const struct secret *root, const char *name, char **ret, struct error *e);

/*
 * *content becomes itself with this keystore's signature before it. certificate: whom it is for, as in
 * bundle_encrypt().
 */
int bundle_sign(const struct secret *root, const char *certificate, struct secret **content, struct error *e);
/*
 * *content loses its signature, if it has one. from: the certificate (PEM) of who must have signed it, for this
 * keystore or (root NULL) for a passphrase: ERROR_REFUSED when it is not signed, ERROR_DAMAGED when not by that or not
 * for this one. NULL: whoever it was.
 */
int bundle_check_sender(const struct secret *root, const char *from, struct secret **content, struct error *e);

/* One of passphrase and certificate (PEM). *ret: DER, the caller frees. */
int bundle_encrypt(const struct secret *content, const struct secret *passphrase, const char *certificate,
		   unsigned char **ret, size_t *ret_len, struct error *e);

/* One of passphrase and root. ERROR_BAD_KEY when it does not open, ERROR_DAMAGED when it is no such message. */
int bundle_decrypt(const void *data, size_t len, const struct secret *passphrase, const struct secret *root,
		   struct secret **ret, struct error *e);

#endif
