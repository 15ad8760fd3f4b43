/*
 * The few primitives everything sealed is made of: HKDF, HMAC and SHA-256, all from Nettle. OpenSSL has them
 * too, but takes 3 to 6 ms to be loaded and made ready, as much as all else that is done for one
 * record; and Nettle's states live where the caller wants them: a key's in locked memory.
 */
#ifndef KEYSTORE_RECORD_KDF_H
#define KEYSTORE_RECORD_KDF_H

#include "base/error.h"
#include "base/secret.h"

#include <stddef.h>
#include <uuid/uuid.h>

#define ROOT_KEY_LEN 32
#define HASH_LEN 32

/* len bytes (1 to 255 hashes, else ERROR_USAGE) of HKDF-SHA-256 (RFC 5869) from key; salt may be empty. */
int kdf_derive(const struct secret *key, const void *salt, size_t salt_len, const void *info,
	       size_t info_len, size_t len, struct secret **ret, struct error *e);

/*
 * The public name of a root key, derived from it: whoever holds a key can tell whether it is the
 * one that a record, the store or the seal names, without any other check value.
 */
int kdf_root_id(const struct secret *root, uuid_t ret, struct error *e);

int kdf_hmac(const struct secret *key, const void *data, size_t len, unsigned char ret[HASH_LEN],
	     struct error *e);
void kdf_sha256(const void *data, size_t len, unsigned char ret[HASH_LEN]);

#endif
