#include "lib/guest/secure.h"

#include "base/file.h"
#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/uri.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what the URI says ---- */

/*
 * Parameters of libvirt's remote driver (docs/uri.html) that take from a transport what makes it safe. harmless: the
 * one value that does not. libvirt compares names whatever their case.
 */
static const struct {
	const char *name, *harmless, *does;
} unsafe[] = {
	{ "no_verify", "0", "does not check whose certificate or host key it is" },
	{ "no_sanity", "0", "does not check certificates before it uses them" },
	{ "known_hosts_verify", "normal", "takes host keys that nobody has confirmed" },
};

static int judge_parameter(const struct guest_connection *g, const char *text, size_t len, struct error *e)
{
	int r = 0;
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	char *name = name_len ? xmlURIUnescapeString(text, (int)name_len, NULL) : NULL;
	char *value = equals && len > name_len + 1 ? xmlURIUnescapeString(equals + 1, (int)(len - name_len - 1), NULL)
						    : NULL;
	for (size_t i = 0; name && i < ARRAY_LEN(unsafe) && r == 0; i++)
		if (!strcasecmp(name, unsafe[i].name) && (!value || strcasecmp(value, unsafe[i].harmless) != 0))
			r = error_set(e, ERROR_REFUSED, EPERM,
				      "%s=%.40s in %s %s, so no key goes over it: leave it out", unsafe[i].name,
				      value ? value : "", g->uri, unsafe[i].does);
	lazy_xml_free(name);
	lazy_xml_free(value);
	return r < 0 ? r : lazy_xml_memory(e);
}

/* Between ? and #; libvirt takes ';' as '&'. */
static int judge_query(const struct guest_connection *g, struct error *e)
{
	const char *p = strchr(g->uri, '?');
	int r = 0;
	size_t end = p ? strcspn(p, "#") : 0;
	for (size_t at = 1; at < end && r == 0;) {
		size_t len = strcspn(p + at, "&;#");
		r = judge_parameter(g, p + at, len, e);
		at += len + 1;
	}
	return r;
}

static bool has_transport(const struct guest_connection *g, const char *transport)
{
	const char *plus = strchr(g->uri, '+');
	size_t len = strlen(transport);
	return plus && plus < strchr(g->uri, ':') && !strncasecmp(plus + 1, transport, len) && plus[1 + len] == ':';
}

static bool names_socket(const struct guest_connection *g)
{
	const char *query = strchr(g->uri, '?');
	return query && strcasestr(query, "socket") != NULL;
}

/* ---- this host? ---- */

static bool same_host_name(const struct guest_connection *g)
{
	char ours[256] = "";
	AUTOFREE char *theirs = virConnectGetHostname(g->conn);
	if (!theirs || gethostname(ours, sizeof(ours) - 1) < 0)
		return false;
	size_t a = strcspn(theirs, "."), b = strcspn(ours, ".");
	return a == b && a && !strncasecmp(theirs, ours, a);
}

/* Is it in this file, on a line of its own or as host_uuid of a daemon's configuration? */
static bool file_has_uuid(const char *path, const char *key, const uuid_t uuid)
{
	FILE *f = fopen(path, "re");
	char line[512];
	bool found = false;
	while (f && !found && fgets(line, sizeof(line), f)) {
		char *at = line + strspn(line, " \t");
		if (key && strncmp(at, key, strlen(key)) != 0)
			continue;
		at += key ? strlen(key) : 0;
		char digits[33] = "";
		size_t n = 0;
		/* With or without dashes, as libvirt reads one. */
		for (; *at && n < 32; at++)
			if (isxdigit((unsigned char)*at))
				digits[n++] = *at;
			else if (n && *at != '-')
				break;
		char text[37];
		uuid_t here;
		snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12, digits + 16,
			 digits + 20);
		found = n == 32 && uuid_parse(text, here) == 0 && uuid_compare(here, uuid) == 0;
	}
	if (f)
		fclose(f);
	return found;
}

/* Where libvirt's daemons have it from (virHostUUID): their configuration, the firmware, the machine's ID. */
static bool is_our_uuid(const uuid_t uuid)
{
	static const char *const files[][2] = {
		{ "/etc/libvirt/libvirtd.conf", "host_uuid" },  { "/etc/libvirt/virtqemud.conf", "host_uuid" },
		{ "/etc/libvirt/virtproxyd.conf", "host_uuid" }, { "/sys/devices/virtual/dmi/id/product_uuid", NULL },
		{ "/sys/class/dmi/id/product_uuid", NULL },	   { "/etc/machine-id", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (file_has_uuid(files[i][0], files[i][1], uuid))
			return true;
	return false;
}

/* Both, as machines that were cloned have one UUID. */
static int says_here(const struct guest_connection *g, bool *ret, struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	uuid_t uuid;
	*ret = false;
	if (!same_host_name(g))
		return 0;
	AUTOFREE char *capabilities = virConnectGetCapabilities(g->conn);
	if (!capabilities)
		return guest_error(e, "cannot ask %s which host it is", g->uri);
	int r = guest_xml_find(&x, capabilities, "/capabilities/host/uuid/text()", e);
	if (r == 0 && guest_xml_count(&x) && uuid_parse((const char *)guest_xml_node(&x, 0)->content, uuid) == 0)
		*ret = is_our_uuid(uuid);
	return r < 0 ? r : lazy_xml_memory(e);
}

int guest_is_here(const struct guest_connection *g, bool server, bool *ret, struct error *e)
{
	enum guest_peer_kind kind = g->peer.kind;
	if (kind == PEER_DAEMON || ((kind == PEER_SYSTEMD || kind == PEER_HIDDEN) && !names_socket(g)))
		*ret = true;
	/* A driver in this very process, as test:///, is reached by no socket. */
	else if (kind == PEER_NONE && !server && !strchr(g->uri, '+'))
		*ret = true;
	else
		return says_here(g, ret, e);
	return 0;
}

/* ---- may a key go there? ---- */

/* What is named by socket= may lie anywhere; libvirt's own place only root can give to another. */
static int judge_peer(const struct guest_connection *g, struct error *e)
{
	const struct guest_peer *p = &g->peer;
	bool named = names_socket(g);
	bool roots = p->kind == PEER_SYSTEMD || p->kind == PEER_HIDDEN;
	if (p->kind <= PEER_DAEMON || (roots && !named) || (p->kind == PEER_SYSTEMD && g->local))
		return 0;
	if (roots)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "nothing shows that the socket of %s is libvirt's on this host, so no key goes to it: "
				 "leave out socket=, libvirt knows its own", g->uri);
	return error_set(e, ERROR_REFUSED, EPERM,
			 "what listens at the socket of %s is %s (process %d) and not libvirt's daemon of this host: "
			 "no key goes to it. Another host is qemu+ssh://HOST/system, this one needs no socket=",
			 g->uri, p->program, (int)p->pid);
}

int guest_require_secure(struct guest_connection *g, struct error *e)
{
	int secure = virConnectIsSecure(g->conn);
	if (secure < 0)
		return guest_error(e, "cannot find out whether the connection to %s is encrypted", g->uri);
	if (!secure)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "the connection to %s is not encrypted, so no key goes over it: use qemu+ssh://, "
				 "qemu+tls:// or a local socket", g->uri);
	if (g->password && has_transport(g, "tcp"))
		return error_set(e, ERROR_REFUSED, EPERM,
				 "a password over TCP does not show whose daemon %s is, so no key goes over it: use "
				 "qemu+tls:// or qemu+ssh://", g->uri);
	int r = judge_query(g, e);
	return r < 0 ? r : judge_peer(g, e);
}

int guest_require_here(const struct guest_connection *g, bool shared, struct error *e)
{
	if (!g || g->local || shared)
		return 0;
	return error_set(e, ERROR_REFUSED, EREMOTE,
			 "%s is another host's daemon, whose guests may have another image at that path: run it there, "
			 "or say --shared-storage where both hosts see one and the same file", g->uri);
}
