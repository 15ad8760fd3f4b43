/* The consoles' certificates and passwords. */
#include "lib/posture/host/cert.h"
#include "lib/posture/topic/certificate.h"
#include "lib/posture/topic/console.h"

#include "base/secret.h"
#include "lib/guest/lazy.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define VNC_DIRECTORY "/etc/pki/libvirt-vnc"
#define DEFAULT_DIRECTORY "/etc/pki/qemu"

/* Where libvirt looks: what is set, VNC's own if it is there, the one that all share. */
static bool directory(struct posture_look *l, char *buf, size_t len)
{
	char path[PATH_MAX];
	struct stat st;
	bool own = stat(host_path(l->host, VNC_DIRECTORY, path, sizeof(path)), &st) == 0;
	if (!certificate_conf(l, HOST_CONF_QEMU, "default_tls_x509_cert_dir", DEFAULT_DIRECTORY, path, sizeof(path)))
		return false;
	return certificate_conf(l, HOST_CONF_QEMU, "vnc_tls_x509_cert_dir", own ? VNC_DIRECTORY : path, buf, len);
}

static bool speaks_tls(struct posture_look *l)
{
	const struct host_probes *p = l->host->running ? host_probe(l->host) : NULL;
	for (size_t i = 0; p && i < p->consoles.n; i++)
		if (p->consoles.list[i].rfb.tls.done || p->consoles.list[i].tls.done)
			return true;
	return false;
}

void console_look_certificate(struct posture_look *l)
{
	char dir[PATH_MAX / 2], cert[PATH_MAX], key[PATH_MAX], ca[PATH_MAX];
	struct console_conf conf;
	if (!console_conf_read(l, &conf) || !directory(l, dir, sizeof(dir)))
		return;
	if (!conf.tls && !speaks_tls(l)) {
		NOTE_CONFIGURED(l, POSTURE_NOT_APPLICABLE, host_conf_path(HOST_CONF_QEMU), "vnc_tls = 0");
		return;
	}
	snprintf(cert, sizeof(cert), "%s/server-cert.pem", dir);
	snprintf(key, sizeof(key), "%s/server-key.pem", dir);
	snprintf(ca, sizeof(ca), "%s/ca-cert.pem", dir);
	certificate_look(l, &(struct certificate_set){
				    .certificate = cert, .key = key, .ca = ca, .server = true, .required = true });
	AUTOFREE char *group = NULL;
	if (look_conf_text(l, HOST_CONF_QEMU, "group", &group))
		certificate_look_private(l, key, group ? group : "libvirt-qemu");
}

void console_look_served(struct posture_look *l)
{
	char dir[PATH_MAX / 2], cert[PATH_MAX];
	if (!l->host->running || !directory(l, dir, sizeof(dir)))
		return;
	snprintf(cert, sizeof(cert), "%s/server-cert.pem", dir);
	for (const struct console *c = console_next_any(l, NULL); c; c = console_next_any(l, c)) {
		const struct tls_seen *tls = c->kind == CONSOLE_WEBSOCKET ? &c->tls : &c->rfb.tls;
		if (tls->certificate)
			certificate_look_served(l, c->guest->subject, tls->certificate, cert);
		else if (c->probed < 0)
			console_answered(l, c);
	}
}

/* An attribute of the element that begins at `at`, in libvirt's own way of writing it. */
static bool has_attribute(const char *at, const char *end, const char *attribute)
{
	const char *found = strstr(at, attribute);
	return found && found < end;
}

static void look_graphics(struct posture_look *l, const struct host_guest *g, const char *text)
{
	bool found = false;
	for (const char *at = strstr(text, "<graphics "); at; at = strstr(at + 1, "<graphics ")) {
		const char *end = at + strcspn(at, ">");
		if (!has_attribute(at, end, " passwd='"))
			continue;
		found = true;
		bool ends = has_attribute(at, end, " passwdValidTo='");
		NOTE_CONFIGURED(l, ends ? POSTURE_WARN : POSTURE_FAIL, g->subject,
				ends ? "its console's password is kept in plain, for a time"
				     : "its console's password is kept in plain, for good");
	}
	if (!found)
		NOTE_CONFIGURED(l, POSTURE_PASS, g->subject, "no password is kept");
}

/* libvirt tells of a password only with the password: it is not read, and wiped at once. */
static void look_password_of(struct posture_look *l, const struct host_guest *g)
{
	unsigned flags = VIR_DOMAIN_XML_SECURE | (g->config ? VIR_DOMAIN_XML_INACTIVE : 0);
	struct error e;
	char *text = virDomainGetXMLDesc(g->domain, flags);
	if (!text) {
		guest_error(&e, "its definition cannot be read");
		note_unknown(l, POSTURE_CONFIGURED, g->subject, &e);
		return;
	}
	look_graphics(l, g, text);
	secret_wipe(text, strlen(text));
	free(text);
}

void console_look_password(struct posture_look *l)
{
	static const char *const keys[] = { "vnc_password", "spice_password" };
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		if (l->host->local)
			look_password_of(l, g);
		else
			NOTE_CONFIGURED(l, POSTURE_UNKNOWN, g->subject,
					"it is not asked of another host, which would send it");
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		AUTOFREE char *password = NULL;
		if (!look_conf_text(l, HOST_CONF_QEMU, keys[i], &password))
			return;
		if (password && *password)
			NOTE_CONFIGURED(l, POSTURE_FAIL, host_conf_path(HOST_CONF_QEMU), "%s is set", keys[i]);
		if (password)
			secret_wipe(password, strlen(password));
	}
	NOTE_CONFIGURED(l, POSTURE_PASS, host_conf_path(HOST_CONF_QEMU), "was looked at");
}
