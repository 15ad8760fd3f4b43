/* The credential that libvirt's daemon starts with, where it seals the secrets it keeps (libvirt 12.1 and later). */
#ifndef LIB_BOOT_CREDENTIAL_H
#define LIB_BOOT_CREDENTIAL_H

#include "base/error.h"

/*
 * 0: it is there and can be had on this host, or none is asked for. Else *e says what will happen at the daemon's next
 * start, and what to do. root: as boot_units_read() has it; of another host's credential only whether it is there.
 * secrets: libvirt's directory of secrets.
 */
int boot_credential_check(const char *root, const char *secrets, struct error *e);

#endif
