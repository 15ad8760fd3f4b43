/* May a key go over this connection, and is the daemon this host's? Shared by the files of the connection only. */
#ifndef LIB_GUEST_SECURE_H
#define LIB_GUEST_SECURE_H

#include "lib/guest/connection.h"

/* server: the URI names one. By the kernel's word for a UNIX socket, else by host UUID and name. */
int guest_is_here(const struct guest_connection *g, bool server, bool *ret, struct error *e);

#endif
