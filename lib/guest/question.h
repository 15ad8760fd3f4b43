/* Opening a connection that may ask for a name and a password, as SASL does. */
#ifndef LIB_GUEST_QUESTION_H
#define LIB_GUEST_QUESTION_H

#include "base/error.h"
#include "base/secret.h"

#include <libvirt/libvirt.h>
#include <stdbool.h>

/*
 * fn asks a person; echo: what is typed may be seen. It returns 0 and *ret, or a negative errno when nobody is there.
 * Without it only libvirt's auth.conf answers. What was answered is kept for further connections of this process.
 */
void guest_on_question(int (*fn)(void *ctx, const char *question, bool echo, struct secret **ret), void *ctx);

/* *ret_password: a name and a password were given. ERROR_LIBVIRT. */
int guest_open(const char *uri, virConnectPtr *ret, bool *ret_password, struct error *e);

#endif
