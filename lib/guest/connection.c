#include "lib/guest/connection.h"

#include "lib/guest/lazy.h"
#include "lib/guest/question.h"
#include "lib/guest/secure.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <libxml/uri.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* libvirt prints errors itself unless told not to. */
static void ignore_error(void *ctx, virErrorPtr err)
{
	(void)ctx, (void)err;
}

int guest_error(struct error *e, const char *fmt, ...)
{
	char context[512];
	const virError *err = virGetLastError();
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	enum error_kind kind = ERROR_LIBVIRT;
	int code = EIO;
	if (err && (err->code == VIR_ERR_NO_DOMAIN || err->code == VIR_ERR_NO_SECRET)) {
		kind = ERROR_NOT_FOUND;
		code = ENOENT;
	}
	return error_set(e, kind, code, "%s: %s", context,
			 err && err->message ? err->message : "libvirt gives no reason");
}

/* Where this host's daemon keeps secrets. */
static int find_secrets_dir(struct guest_connection *g, const char *path, struct error *e)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int r = 0;
	if (!strncmp(path, "/system", strlen("/system")))
		r = (g->secrets_dir = strdup("/etc/libvirt/secrets")) ? 0 : -1;
	else if (!strncmp(path, "/session", strlen("/session")))
		r = config && *config ? asprintf(&g->secrets_dir, "%s/libvirt/secrets", config)
				      : asprintf(&g->secrets_dir, "%s/.config/libvirt/secrets", home ? home : "");
	if (r >= 0)
		return 0;
	g->secrets_dir = NULL;
	return error_oom(e);
}

/* Fills local and secrets_dir. */
static int locate(struct guest_connection *g, struct error *e)
{
	xmlURIPtr uri = xmlParseURI(g->uri);
	if (!uri)
		return error_set(e, ERROR_LIBVIRT, EINVAL, "libvirt names its connection '%s', which is no URI",
				 g->uri);
	const char *path = uri->path ? uri->path : "";
	int r = 0;
	/* libvirt 9.0 crashes when an embedded driver defines an ephemeral secret. */
	if (!strncmp(path, "/embed", strlen("/embed")))
		r = error_set(e, ERROR_LIBVIRT, EOPNOTSUPP, "embedded libvirt connections are not supported");
	if (r == 0)
		r = guest_is_here(g, uri->server && *uri->server, &g->local, e);
	if (r == 0 && g->local)
		r = find_secrets_dir(g, path, e);
	xmlFreeURI(uri);
	return r;
}

static int connect_to(const char *uri, struct guest_connection *g, struct error *e)
{
	struct guest_sockets before;
	guest_sockets_note(&before);
	int r = guest_open(uri, &g->conn, &g->password, e);
	if (r < 0)
		return r;
	guest_sockets_peer(&before, &g->peer);
	g->uri = virConnectGetURI(g->conn);
	if (!g->uri)
		return guest_error(e, "cannot ask libvirt for its URI");
	return locate(g, e);
}

int guest_connect(const char *uri, struct guest_connection **ret, struct error *e)
{
	AUTOGUEST struct guest_connection *g = calloc(1, sizeof(*g));
	if (!g)
		return error_oom(e);
	int r = lazy_load(e);
	if (r < 0)
		return r;
	virSetErrorFunc(NULL, ignore_error);
	r = connect_to(uri, g, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(g);
	return 0;
}

int guest_refresh(struct guest_connection *g, struct error *e)
{
	AUTOGUEST struct guest_connection *fresh = NULL;
	unsigned long version;
	if (virConnectGetLibVersion(g->conn, &version) == 0)
		return 0;
	int r = guest_connect(g->uri, &fresh, e);
	if (r < 0)
		return error_prefix(e, "the connection to %s broke", g->uri);
	struct guest_connection old = *g;
	*g = *fresh;
	*fresh = old;
	return 0;
}

void guest_disconnect(struct guest_connection *g)
{
	if (!g)
		return;
	if (g->conn)
		virConnectClose(g->conn);
	free(g->uri);
	free(g->secrets_dir);
	free(g);
}

/* 1: *ret is it; 0: libvirt says that there is none. */
static int found(virDomainPtr d, virDomainPtr *ret, const char *name, struct error *e)
{
	if (!d && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
		return guest_error(e, "cannot ask for domain '%s'", name);
	if (d)
		*ret = d;
	return d != NULL;
}

int guest_find_domain(struct guest_connection *g, const char *name, virDomainPtr *ret, struct error *e)
{
	uuid_t uuid;
	int r = found(virDomainLookupByName(g->conn, name), ret, name, e);
	if (r == 0 && uuid_parse(name, uuid) == 0)
		r = found(virDomainLookupByUUID(g->conn, uuid), ret, name, e);
	if (r == 0 && *name && strspn(name, "0123456789") == strlen(name))
		r = found(virDomainLookupByID(g->conn, atoi(name)), ret, name, e);
	if (r == 0)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "libvirt at %s has no domain '%s' (see `virsh list --all`)", g->uri, name);
	return r < 0 ? r : 0;
}

int guest_find_recorded(struct guest_connection *g, const uuid_t uuid, const char *name, virDomainPtr *ret,
			struct error *e)
{
	int r = found(virDomainLookupByUUID(g->conn, uuid), ret, name, e);
	return r ? r : found(virDomainLookupByName(g->conn, name), ret, name, e);
}

int guest_each_domain(struct guest_connection *g, int (*fn)(void *ctx, const char *name), void *ctx,
		      struct error *e)
{
	virDomainPtr *domains = NULL;
	int r = 0, n = virConnectListAllDomains(g->conn, &domains, 0);
	if (n < 0)
		return guest_error(e, "cannot list the domains");
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = fn(ctx, virDomainGetName(domains[i]));
		virDomainFree(domains[i]);
	}
	free(domains);
	return r;
}
