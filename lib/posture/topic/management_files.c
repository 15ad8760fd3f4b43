/* What libvirt's files say of passwords, migration and the URIs of this host's own clients. */
#include "lib/posture/topic/certificate.h"
#include "lib/posture/topic/management.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SASL_FILE "/etc/sasl2/libvirt.conf"
#define MIGRATION_DIRECTORY "/etc/pki/libvirt-migrate"

/* "key: value" at the beginning of a line. */
static bool sasl_value(const char *text, const char *key, char *buf, size_t len)
{
	size_t n = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *value = line + n;
		if (strncmp(line, key, n) || *(value += strspn(value, " \t")) != ':')
			continue;
		value++;
		value += strspn(value, " \t");
		snprintf(buf, len, "%.*s", (int)strcspn(value, "\r\n"), value);
		return true;
	}
	return false;
}

static bool asks_sasl(struct posture_look *l, const char *key, bool otherwise)
{
	AUTOFREE char *text = NULL;
	if (!look_conf_text(l, HOST_CONF_DAEMON, key, &text))
		return false;
	return text ? !strcmp(text, "sasl") : otherwise;
}

static const struct {
	const char *name;
	enum posture_verdict verdict;
	const char *what;
} mechanisms[] = {
	{ "scram-sha-256", POSTURE_PASS, "a password that is never sent" },
	{ "scram-sha-512", POSTURE_PASS, "a password that is never sent" },
	{ "gssapi", POSTURE_PASS, "Kerberos" },
	{ "gs2-krb5", POSTURE_PASS, "Kerberos" },
	{ "external", POSTURE_PASS, "the certificate of TLS" },
	{ "scram-sha-1", POSTURE_WARN, "a password that is never sent, and SHA-1" },
};

static void look_mechanism(struct posture_look *l, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (!strcasecmp(name, mechanisms[i].name)) {
			NOTE_CONFIGURED(l, mechanisms[i].verdict, SASL_FILE, "%s: %s", name, mechanisms[i].what);
			return;
		}
	NOTE_CONFIGURED(l, POSTURE_FAIL, SASL_FILE, "%s: gives the password, or what is as good, away", name);
}

static bool is_scram(const char *name)
{
	return !strncasecmp(name, "scram", 5);
}

static void look_mechanisms(struct posture_look *l, char *list, bool plain_tcp)
{
	char *save = NULL;
	size_t n = 0, scram = 0;
	bool kerberos = false;
	for (char *name = strtok_r(list, " \t", &save); name; name = strtok_r(NULL, " \t", &save), n++) {
		look_mechanism(l, name);
		scram += is_scram(name);
		kerberos |= !strncasecmp(name, "gs", 2);
	}
	if (plain_tcp && n && scram == n)
		NOTE_CONFIGURED(
			l, POSTURE_WARN, SASL_FILE,
			"SCRAM encrypts nothing, so libvirt takes it over TLS only: over plain TCP nobody gets in");
	long allowed;
	if (kerberos && look_conf_count(l, HOST_CONF_DAEMON, "sasl_allowed_username_list", -1, &allowed) && allowed < 0)
		NOTE_CONFIGURED(
			l, POSTURE_WARN, host_conf_path(HOST_CONF_DAEMON),
			"sasl_allowed_username_list is not set: everybody whom Kerberos knows is an administrator");
}

void management_look_sasl(struct posture_look *l)
{
	char why[128], value[512], file[512];
	bool plain = management_is_on(l, "tcp", why, sizeof(why)) && asks_sasl(l, "auth_tcp", true);
	bool tls = management_tls_is_on(l) && asks_sasl(l, "auth_tls", false);
	bool unix_socket = asks_sasl(l, "auth_unix_rw", false);
	if (!plain && !tls && !unix_socket) {
		NOTE_CONFIGURED(l, POSTURE_NOT_APPLICABLE, SASL_FILE, "SASL is not in use");
		return;
	}
	AUTOFREE char *text = management_read(l, SASL_FILE);
	if (!text)
		return;
	if (sasl_value(text, "mech_list", value, sizeof(value)) && *value)
		look_mechanisms(l, value, plain && !tls && !unix_socket);
	else
		NOTE_CONFIGURED(l, POSTURE_FAIL, SASL_FILE,
				"mech_list is not set: whatever is installed is offered, PLAIN and ANONYMOUS too");
	if (sasl_value(text, "sasldb_path", value, sizeof(value)))
		certificate_look_private(l, value, NULL);
	if (sasl_value(text, "keytab", file, sizeof(file)))
		certificate_look_private(l, file, NULL);
}

/* Where libvirt looks for migration's certificates: what is set, its own directory if it is there, that of all. */
static bool migration_directory(struct posture_look *l, char *buf, size_t len)
{
	char shared[PATH_MAX], path[PATH_MAX];
	struct stat st;
	if (!certificate_conf(l, HOST_CONF_QEMU, "default_tls_x509_cert_dir", "/etc/pki/qemu", shared, sizeof(shared)))
		return false;
	bool own = stat(host_path(l->host, MIGRATION_DIRECTORY, path, sizeof(path)), &st) == 0;
	return certificate_conf(l, HOST_CONF_QEMU, "migrate_tls_x509_cert_dir", own ? MIGRATION_DIRECTORY : shared, buf,
				len);
}

void management_look_migration(struct posture_look *l)
{
	char dir[PATH_MAX], cert[PATH_MAX + 32], path[2 * PATH_MAX];
	const char *file = host_conf_path(HOST_CONF_QEMU);
	struct stat st;
	long force, shared, verify;
	if (!look_conf_number(l, HOST_CONF_QEMU, "migrate_tls_force", 0, &force) ||
	    !look_conf_number(l, HOST_CONF_QEMU, "default_tls_x509_verify", 1, &shared) ||
	    !look_conf_number(l, HOST_CONF_QEMU, "migrate_tls_x509_verify", shared, &verify) ||
	    !migration_directory(l, dir, sizeof(dir)))
		return;
	snprintf(cert, sizeof(cert), "%s/server-cert.pem", dir);
	bool possible = stat(host_path(l->host, cert, path, sizeof(path)), &st) == 0;
	if (!possible)
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "migrate_tls_force = %ld, and %s is not there%s", force, cert,
				force ? "" : ": memory goes in plain");
	else if (!force)
		NOTE_CONFIGURED(l, POSTURE_WARN, file,
				"migrate_tls_force = 0: memory goes in plain unless each migration asks for TLS");
	else if (!verify)
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "migrate_tls_x509_verify = 0: any host may send a guest");
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "migration is by TLS, and both hosts are verified");
}

/* A part of the query, as a whole: "no_verify=1" is not in "xno_verify=10". */
static bool has_parameter(const char *uri, const char *parameter)
{
	size_t n = strlen(parameter);
	for (const char *at = strpbrk(uri, "?&"); at; at = strpbrk(at + 1, "?&"))
		if (!strncmp(at + 1, parameter, n) && strchr("&#", at[1 + n]))
			return true;
	return false;
}

static const char *foreign_socket(const char *uri)
{
	const char *at = strstr(uri, "socket=");
	if (!at || at == uri || !strchr("?&", at[-1]))
		return NULL;
	at += strlen("socket=");
	return strncmp(at, "/run/libvirt/", 13) && strncmp(at, "/var/run/libvirt/", 17) ? at : NULL;
}

static void look_uri(struct posture_look *l, enum posture_side side, const char *where, const char *uri)
{
	size_t scheme = strcspn(uri, ":");
	const char *transport = memchr(uri, '+', scheme);
	if (transport && !strncmp(transport, "+tcp:", 5))
		note(l, POSTURE_FAIL, side, where, "%s: plain TCP", uri);
	else if (has_parameter(uri, "no_verify=1"))
		note(l, POSTURE_FAIL, side, where, "%s: does not verify whom it speaks to", uri);
	else if (foreign_socket(uri))
		note(l, POSTURE_FAIL, side, where, "%s: whatever is behind that socket, it is not libvirt's own", uri);
	else if (transport && !strncmp(transport, "+libssh", 7) &&
		 (has_parameter(uri, "known_hosts_verify=ignore") || has_parameter(uri, "known_hosts_verify=auto")))
		note(l, POSTURE_WARN, side, where, "%s: takes the key of a host that it does not know", uri);
	else if (transport && !strncmp(transport, "+ext:", 5))
		note(l, POSTURE_WARN, side, where, "%s: a program of its own makes the connection", uri);
	else
		note(l, POSTURE_PASS, side, where, "%s", uri);
}

/* Each word with a scheme: URIs stand in quotes, behind an option, or as "name=URI" in a list of aliases. */
static void look_uris(struct posture_look *l, const char *file)
{
	AUTOFREE char *text = management_read(l, file);
	char *save = NULL;
	for (char *word = text ? strtok_r(text, " \t\r\n\"',[]", &save) : NULL; word;
	     word = strtok_r(NULL, " \t\r\n\"',[]", &save)) {
		char *colon = strstr(word, "://");
		if (!colon)
			continue;
		while (colon > word && colon[-1] != '=')
			colon--;
		look_uri(l, POSTURE_CONFIGURED, file, colon);
	}
}

void management_look_client_uri(struct posture_look *l)
{
	static const char *const files[] = {
		"/etc/libvirt/libvirt.conf",
		"/root/.config/libvirt/libvirt.conf",
		"/etc/default/kvmcrypt",
		"/etc/systemd/system/kvmcrypt-load.service",
		"/etc/systemd/system/kvmcrypt-load.service.d/override.conf",
	};
	size_t before = l->finding->n;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		look_uris(l, files[i]);
	const char *uri = l->host->running ? getenv("LIBVIRT_DEFAULT_URI") : NULL;
	if (uri && *uri)
		look_uri(l, POSTURE_RUNNING, "LIBVIRT_DEFAULT_URI", uri);
	if (l->finding->n == before)
		NOTE_CONFIGURED(l, POSTURE_PASS, files[0], "no URI is set: libvirt's own socket is used");
}
