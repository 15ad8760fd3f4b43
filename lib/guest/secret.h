/* libvirt secrets that hold the passphrases of volumes. */
#ifndef LIB_GUEST_SECRET_H
#define LIB_GUEST_SECRET_H

#include "base/secret.h"
#include "lib/guest/connection.h"

#include <uuid/uuid.h>

/* Its usage is this and the volume's UUID. */
#define GUEST_SECRET_USAGE "kvmcrypt/"

/* The UUID of a volume's secret: a name-based UUID (RFC 4122, 4.3, SHA-1) in the volume's namespace,
 * so that every host and every run comes to the same. */
void guest_secret_uuid(const uuid_t volume, uuid_t ret);

/* Its XML as libvirt wants and stores it; path is for the description. libvirt is loaded. The caller frees;
 * NULL when out of memory. */
char *guest_secret_xml(const uuid_t volume, const char *path, bool ephemeral);

/*
 * Registers or renews the secret of a volume: private; ephemeral unless libvirt's secrets
 * directory is RAM-backed. path is for the description. ERROR_REFUSED on a connection that is not
 * secure, before the key is touched. *ret_new (may be NULL): it was not there before, or not as ours
 * (private, of our usage), which then was undefined and not filled.
 */
int guest_secret_register(struct guest_connection *g, const uuid_t volume, const char *path,
			  const struct secret *passphrase, bool *ret_new, bool *ret_ephemeral,
			  struct error *e);

/* Undefines it; one that is not there is fine (*ret_was false). */
int guest_secret_forget(struct guest_connection *g, const uuid_t volume, bool *ret_was, struct error *e);

/* 1: it is registered; 0: libvirt says that it is not. ERROR_LIBVIRT: libvirt does not say. */
int guest_secret_exists(struct guest_connection *g, const uuid_t volume, struct error *e);

#endif
