/*
 * Libraries that are loaded when they are needed, not at program start: libcryptsetup and what it needs,
 * libdevmapper, libblkid and OpenSSL cost 3 ms and more, libvirt and libxml2 with the thirty behind them over
 * 10 ms, and most commands call none of them. Their functions are called by their own names.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include "base/error.h"

/*
 * Loads the library and finds all that we use of it; 0 when that was done before. Called before the first of its
 * functions, where there is an error to fill: ERROR_FAILED (ERROR_LIBVIRT for libvirt and libxml2) with ENOENT where
 * it is not installed, ENOSYS where it is too old. From any thread.
 *
 * A call without it loads, too; but then a library that is not there is a function that fails: with -1, -ENOSYS, 0 or
 * NULL as its own failures are.
 */
int audit_load(struct error *e);
int augeas_load(struct error *e);
int blkid_load(struct error *e);
int cryptsetup_load(struct error *e);
int devmapper_load(struct error *e);
int libvirt_load(struct error *e);
int libvirt_qemu_load(struct error *e);
int libxml_load(struct error *e);
int openssl_load(struct error *e);
int ssl_load(struct error *e);

/* Called before and after each call into libvirt, which may wait for a daemon. NULL: nothing. */
void libvirt_around(void (*begin)(void), void (*end)(void));

#endif
