/* A new passphrase to where libvirt has the old one. */
#ifndef LIB_GUEST_RENEW_H
#define LIB_GUEST_RENEW_H

#include "lib/guest/secret.h"

/*
 * Gives libvirt's secret of the volume this passphrase, if it has one (*ret_had). A daemon that went away, or was
 * restarted, is asked once more by a new connection; where its secrets are files in memory and it does not run, the
 * file is renewed. ERROR_LIBVIRT: libvirt has the old passphrase, or may have. g NULL: there was no daemon that could
 * be asked, so only the file.
 */
int guest_secret_renew(struct guest_connection *g, const uuid_t volume, const char *path,
		       const struct secret *passphrase, bool *ret_had, struct error *e);

#endif
