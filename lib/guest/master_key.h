/*
 * The key that libvirt and a QEMU it started share, "masterKey0" (libvirt's docs/kbase and
 * src/qemu/qemu_domain.c: 32 random bytes in the domain's private directory, AES-256-CBC).
 */
#ifndef LIB_GUEST_MASTER_KEY_H
#define LIB_GUEST_MASTER_KEY_H

#include "base/secret.h"
#include "lib/guest/connection.h"

/* ERROR_REFUSED when it cannot be read from here. */
int guest_master_key(struct guest_connection *g, virDomainPtr d, struct secret **ret, struct error *e);

/* plain under the key: base64 of the ciphertext and of the IV, both new, for QEMU's secret object. */
int guest_master_key_seal(const struct secret *key, const struct secret *plain, char **ret_data, char **ret_iv,
			  struct error *e);

#endif
