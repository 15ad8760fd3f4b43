/* libvirt's daemon by TLS: whom it lets in, and with which certificates. */
#include "lib/posture/host/cert.h"
#include "lib/posture/topic/certificate.h"
#include "lib/posture/topic/management.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SERVER_CERTIFICATE "/etc/pki/libvirt/servercert.pem"
#define SERVER_KEY "/etc/pki/libvirt/private/serverkey.pem"
#define CLIENT_CERTIFICATE "/etc/pki/libvirt/clientcert.pem"
#define CLIENT_KEY "/etc/pki/libvirt/private/clientkey.pem"
#define AUTHORITY "/etc/pki/CA/cacert.pem"
#define REVOKED "/etc/pki/CA/cacrl.pem"

void management_look_tls_verify(struct posture_look *l)
{
	long no_verify, no_sanity;
	const struct host_probes *p = management_probes(l);
	for (size_t i = 0; p && i < p->ports.n; i++) {
		const struct service_port *port = &p->ports.list[i];
		if (port->tls.done && port->probed == 0)
			note(l, port->takes_anybody ? POSTURE_FAIL : POSTURE_PASS, POSTURE_RUNNING, port->where,
			     port->takes_anybody ? "lets in a client that has no certificate"
						 : "ends the connection of a client that has no certificate");
		else if (port->probed < 0 && port->expects_tls)
			note_unknown(l, POSTURE_RUNNING, port->where, &port->why);
	}
	if (!look_conf_number(l, HOST_CONF_DAEMON, "tls_no_verify_certificate", 0, &no_verify) ||
	    !look_conf_number(l, HOST_CONF_DAEMON, "tls_no_sanity_certificate", 0, &no_sanity))
		return;
	const char *file = host_conf_path(HOST_CONF_DAEMON);
	if (no_verify)
		NOTE_CONFIGURED(l, management_tls_is_on(l) ? POSTURE_FAIL : POSTURE_WARN, file,
				"tls_no_verify_certificate = %ld", no_verify);
	if (no_sanity)
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "tls_no_sanity_certificate = %ld", no_sanity);
	if (!no_verify && !no_sanity)
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "clients' certificates are verified");
}

/* A list with an entry that is all wildcard lets in whom no list would. */
static bool has_star(struct posture_look *l, long n)
{
	for (unsigned i = 0; i < (unsigned)n; i++) {
		AUTOFREE char *entry = NULL;
		if (host_conf_item(l->host, HOST_CONF_DAEMON, "tls_allowed_dn_list", i, &entry, NULL) == 1 &&
		    strspn(entry, "*? ") == strlen(entry))
			return true;
	}
	return false;
}

static bool tls_asks_sasl(struct posture_look *l, bool *ret)
{
	AUTOFREE char *auth = NULL;
	if (!look_conf_text(l, HOST_CONF_DAEMON, "auth_tls", &auth))
		return false;
	*ret = auth && !strcmp(auth, "sasl");
	return true;
}

void management_look_tls_who(struct posture_look *l)
{
	const char *file = host_conf_path(HOST_CONF_DAEMON);
	bool sasl;
	long n;
	if (!tls_asks_sasl(l, &sasl) || !look_conf_count(l, HOST_CONF_DAEMON, "tls_allowed_dn_list", -1, &n))
		return;
	if (!management_tls_is_on(l))
		NOTE_CONFIGURED(l, POSTURE_NOT_APPLICABLE, file, "TLS is not in use");
	else if (sasl)
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "auth_tls = \"sasl\" tells who it is");
	else if (n < 0)
		NOTE_CONFIGURED(
			l, POSTURE_FAIL, file,
			"tls_allowed_dn_list is not set: every certificate of the authority is an administrator");
	else if (has_star(l, n))
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "tls_allowed_dn_list has an entry \"*\"");
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "tls_allowed_dn_list has %ld entries", n);
}

void management_look_both(struct posture_look *l)
{
	const char *file = host_conf_path(HOST_CONF_DAEMON);
	bool sasl;
	if (!tls_asks_sasl(l, &sasl))
		return;
	if (!management_tls_is_on(l))
		NOTE_CONFIGURED(l, POSTURE_NOT_APPLICABLE, file, "TLS is not in use");
	else
		NOTE_CONFIGURED(l, sasl ? POSTURE_PASS : POSTURE_WARN, file,
				sasl ? "TLS asks for a certificate and SASL" : "TLS asks for a certificate only");
}

void management_look_certificate(struct posture_look *l)
{
	char cert[PATH_MAX], key[PATH_MAX], ca[PATH_MAX];
	if (!certificate_conf(l, HOST_CONF_DAEMON, "cert_file", SERVER_CERTIFICATE, cert, sizeof(cert)) ||
	    !certificate_conf(l, HOST_CONF_DAEMON, "key_file", SERVER_KEY, key, sizeof(key)) ||
	    !certificate_conf(l, HOST_CONF_DAEMON, "ca_file", AUTHORITY, ca, sizeof(ca)))
		return;
	certificate_look(l, &(struct certificate_set){ .certificate = cert,
						       .key = key,
						       .ca = ca,
						       .server = true,
						       .required = management_tls_is_on(l) });
	certificate_look(
		l, &(struct certificate_set){ .certificate = CLIENT_CERTIFICATE, .key = CLIENT_KEY, .ca = AUTHORITY });
}

/* TLS 1.0 and 1.1 have no cipher left that holds. */
static void look_version(struct posture_look *l, const struct service_port *p)
{
	bool old = strcmp(p->tls.protocol, "TLSv1.2") && strcmp(p->tls.protocol, "TLSv1.3");
	note(l, old ? POSTURE_FAIL : POSTURE_PASS, POSTURE_RUNNING, p->where, "speaks %s, %s", p->tls.protocol,
	     p->tls.cipher);
}

void management_look_served(struct posture_look *l)
{
	char file[PATH_MAX];
	const struct host_probes *p = management_probes(l);
	if (!p || !certificate_conf(l, HOST_CONF_DAEMON, "cert_file", SERVER_CERTIFICATE, file, sizeof(file)))
		return;
	for (size_t i = 0; i < p->ports.n; i++) {
		const struct service_port *port = &p->ports.list[i];
		if (port->probed < 0 && port->expects_tls && !port->tls.done)
			note_unknown(l, POSTURE_RUNNING, port->where, &port->why);
		if (!port->tls.done)
			continue;
		look_version(l, port);
		if (port->tls.certificate)
			certificate_look_served(l, port->where, port->tls.certificate, file);
		else
			note(l, POSTURE_FAIL, POSTURE_RUNNING, port->where, "shows no certificate");
	}
}

void management_look_keys(struct posture_look *l)
{
	/* A file with passwords or keys, and the line of libvirtd.conf that may name another. */
	static const struct {
		const char *key, *file;
	} files[] = { { "key_file", SERVER_KEY },	  { NULL, CLIENT_KEY },
		      { NULL, "/etc/libvirt/krb5.tab" },  { NULL, "/etc/libvirt/passwd.db" },
		      { NULL, "/etc/libvirt/auth.conf" }, { NULL, "/etc/pki/CA/private/cakey.pem" } };
	char path[PATH_MAX];
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s", files[i].file);
		if (files[i].key &&
		    !certificate_conf(l, HOST_CONF_DAEMON, files[i].key, files[i].file, path, sizeof(path)))
			continue;
		certificate_look_private(l, path, NULL);
	}
}

void management_look_revocation(struct posture_look *l)
{
	AUTOCERT X509 *ca = NULL;
	char file[PATH_MAX], authority[PATH_MAX], path[PATH_MAX];
	struct error e;
	int64_t left;
	if (!certificate_conf(l, HOST_CONF_DAEMON, "crl_file", REVOKED, file, sizeof(file)) ||
	    !certificate_conf(l, HOST_CONF_DAEMON, "ca_file", AUTHORITY, authority, sizeof(authority)))
		return;
	if (!management_tls_is_on(l)) {
		NOTE_CONFIGURED(l, POSTURE_NOT_APPLICABLE, file, "TLS is not in use");
		return;
	}
	if (cert_read(host_path(l->host, authority, path, sizeof(path)), &ca, &e) < 0) {
		note_unknown(l, POSTURE_CONFIGURED, authority, &e);
		return;
	}
	int r = cert_read_revocations(host_path(l->host, file, path, sizeof(path)), ca, &left, &e);
	if (r == -ENOENT)
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "is not there: no certificate can be revoked");
	else if (r < 0)
		note(l, e.kind == ERROR_DAMAGED ? POSTURE_FAIL : POSTURE_UNKNOWN, POSTURE_CONFIGURED, file, "%s",
		     e.message);
	else if (!r)
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "is not signed by %s", authority);
	else if (left < 0)
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "is overdue: its next update should have come");
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "is signed by %s, and not overdue", authority);
}
