/* The connection to libvirt, its errors as ours, and the check before a key crosses it. */
#ifndef LIB_GUEST_CONNECTION_H
#define LIB_GUEST_CONNECTION_H

#include "base/cleanup.h"
#include "base/error.h"
#include "lib/guest/peer.h"

#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <uuid/uuid.h>

struct guest_connection {
	virConnectPtr conn;
	char *uri;		/* as libvirt names it: an alias is resolved */
	struct guest_peer peer;	/* of a UNIX socket */
	bool password;		/* a name and a password were asked for */
	bool local;		/* the daemon runs on this host, so a path means the same to both */
	char *secrets_dir;	/* where this local daemon keeps secrets, or NULL if not known */
};

/*
 * uri NULL: libvirt's default. ERROR_LIBVIRT with libvirt's reason and what to check. A name and a password (SASL) come
 * from libvirt's auth.conf or guest_on_question(), and are given only where the URI is spelled out and is not +tcp.
 */
int guest_connect(const char *uri, struct guest_connection **ret, struct error *e);

/* Connects anew if the daemon was restarted since. For a handle that one thread alone uses. */
int guest_refresh(struct guest_connection *g, struct error *e);

void guest_disconnect(struct guest_connection *g);
static inline void guest_disconnectp(struct guest_connection **g)
{
	guest_disconnect(*g);
}
#define AUTOGUEST CLEANUP(guest_disconnectp)

/*
 * ERROR_REFUSED unless a key may go over it: libvirt says that nobody can listen in, and the other end is
 * known (secure.c).
 */
int guest_require_secure(struct guest_connection *g, struct error *e);

/*
 * ERROR_REFUSED where the daemon is another host's: what is done to this host's file is not done to its file, unless a
 * person has said that they are one (shared). g NULL is fine.
 */
int guest_require_here(const struct guest_connection *g, bool shared, struct error *e);

/* libvirt's last error as ours, with context; its "no such domain/secret" is ERROR_NOT_FOUND. */
int guest_error(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * By name, UUID or, if running, ID. ERROR_NOT_FOUND when libvirt says that there is none; ERROR_LIBVIRT when it does
 * not say. The caller frees with virDomainFree().
 */
int guest_find_domain(struct guest_connection *g, const char *name, virDomainPtr *ret, struct error *e);

/* As it was when it was noted: by UUID, or else (it was defined anew) by name. 1: *ret is it; 0: there is none. */
int guest_find_recorded(struct guest_connection *g, const uuid_t uuid, const char *name, virDomainPtr *ret,
			struct error *e);

/* The name of every domain, running or not, to fn; a non-zero result of fn stops and is returned. */
int guest_each_domain(struct guest_connection *g, int (*fn)(void *ctx, const char *name), void *ctx,
		      struct error *e);

static inline void guest_domain_freep(virDomainPtr *d)
{
	if (*d)
		virDomainFree(*d);
}
#define AUTODOMAIN CLEANUP(guest_domain_freep)

#endif
