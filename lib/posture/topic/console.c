/* Who gets a guest's screen and keyboard: where VNC listens, and what it asks for. The table of the topic. */
#include "lib/posture/topic/console.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Has the host people's accounts beside root's? By its own file: what a directory service has is not asked. */
static unsigned accounts(struct posture_look *l)
{
	char path[PATH_MAX], line[1024];
	unsigned n = 0;
	FILE *f = fopen(host_path(l->host, "/etc/passwd", path, sizeof(path)), "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned uid = 0;
		line[strcspn(line, "\n")] = 0;
		const char *shell = strrchr(line, ':');
		if (sscanf(line, "%*[^:]:%*[^:]:%u:", &uid) == 1 && uid >= 1000 && uid != 65534 && shell &&
		    !strstr(shell, "nologin") && !strstr(shell, "/false"))
			n++;
	}
	if (f)
		fclose(f);
	return n;
}

/* May users of this host who are nobody in particular connect to a UNIX socket? */
static bool all_reach(const char *socket)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "%s", socket);
	if (stat(path, &st) < 0 || !(st.st_mode & S_IWOTH))
		return false;
	for (char *slash = strrchr(path, '/'); slash && slash > path; slash = strrchr(path, '/')) {
		*slash = 0;
		if (stat(path, &st) < 0 || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

static void look_listen(struct posture_look *l)
{
	for (const struct console *c = console_next_any(l, NULL); c; c = console_next_any(l, c)) {
		bool vnc = c->kind == CONSOLE_VNC, other = c->kind == CONSOLE_OTHER;
		if (!*c->path && !c->socket.port) {
			console_answered(l, c);
			continue;
		}
		enum reach reach = console_reach(c);
		bool guarded = (vnc && console_is_guarded(c)) || c->kind == CONSOLE_SPICE_TLS;
		if (reach == REACH_LOOPBACK || other)
			console_note(l, POSTURE_PASS, c,
				     *c->path ? "is a UNIX socket"
				     : other  ? "is no console (see console.serial)"
					      : "is reached from this host only");
		else if (vnc && c->probed < 0)
			console_note(l, POSTURE_FAIL, c,
				     "is reached from elsewhere, and how it is guarded is not known: %s",
				     c->why.message);
		else if (!guarded)
			console_note(l, POSTURE_FAIL, c, "is reached from elsewhere, and asks for no certificate");
		else
			console_note(l, reach == REACH_ANY ? POSTURE_WARN : POSTURE_PASS, c,
				     reach == REACH_ANY ? "listens at all addresses; it is guarded by TLS"
							: "listens at one address, guarded by TLS");
	}
	struct console_conf conf;
	if (!console_is_used(l) || !console_conf_read(l, &conf))
		return;
	bool safe = conf.auto_unix || console_is_loopback(conf.listen);
	NOTE_CONFIGURED(l,
			safe					 ? POSTURE_PASS
			: conf.tls && (conf.verify || conf.sasl) ? POSTURE_WARN
								 : POSTURE_FAIL,
			host_conf_path(HOST_CONF_QEMU), "vnc_listen: %s",
			conf.auto_unix ? "a UNIX socket (vnc_auto_unix_socket)" : conf.listen);
}

/* Somebody without any secret gets the console; who can be somebody? */
static void look_open(struct posture_look *l, const struct console *c)
{
	unsigned n = accounts(l);
	if (*c->path && !all_reach(c->path))
		console_note(l, POSTURE_PASS, c, "asks for nothing, and its socket is for its user only");
	else if (*c->path)
		console_note(l, POSTURE_FAIL, c, "gives the console to every user of this host");
	else if (socket_reach(&c->socket) != REACH_LOOPBACK)
		console_note(l, POSTURE_FAIL, c, "gives the console to whoever connects");
	else if (n)
		console_note(l, POSTURE_FAIL, c,
			     "gives the console to every user of this host, and %u beside root may log in", n);
	else
		console_note(l, POSTURE_WARN, c,
			     "gives the console to every program of this host; nobody but root has an account");
}

static void look_asks(struct posture_look *l, const struct console *c)
{
	char text[256];
	const struct rfb_seen *s = &c->rfb;
	rfb_text(s, text, sizeof(text));
	if (console_is_guarded(c))
		console_note(l, POSTURE_PASS, c, "asks for SASL within TLS: %s",
			     *s->mechanisms ? s->mechanisms : "no mechanism");
	else if (rfb_offers(s, RFB_PASSWORD) || s->tls.done)
		console_note(
			l, POSTURE_WARN, c,
			"asks for VNC's own password, of which eight characters count and which is guessed soon (%s)",
			text);
	else if (!*s->mechanisms)
		console_note(l, POSTURE_WARN, c,
			     "asks for SASL without TLS, and has no mechanism that is strong enough: nobody gets in");
	else
		console_note(l, POSTURE_WARN, c, "asks for SASL without TLS (%s)", s->mechanisms);
}

static void look_auth_of(struct posture_look *l, const struct console *c)
{
	char text[256];
	const struct rfb_seen *s = &c->rfb;
	if (!console_answered(l, c))
		return;
	if (s->end == RFB_CUT_OFF)
		console_note(l, POSTURE_PASS, c, "asks for a certificate");
	else if (s->end == RFB_CONSOLE || rfb_has_subtype(s, RFB_TLS_NONE, RFB_TLS_NONE))
		look_open(l, c);
	else if (s->end == RFB_ASKS)
		look_asks(l, c);
	else
		console_note(l, POSTURE_UNKNOWN, c, "what it asks for cannot be tried: %s",
			     rfb_text(s, text, sizeof(text)));
}

static void look_auth(struct posture_look *l)
{
	for (const struct console *c = console_next(l, CONSOLE_VNC, NULL); c; c = console_next(l, CONSOLE_VNC, c))
		look_auth_of(l, c);
	struct console_conf conf;
	const char *file = host_conf_path(HOST_CONF_QEMU);
	if (!console_is_used(l) || !console_conf_read(l, &conf))
		return;
	if (conf.auto_unix)
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "vnc_auto_unix_socket = 1");
	else if (conf.tls && (conf.verify || conf.sasl))
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "vnc_tls = 1, with %s",
				conf.verify ? "certificates of clients" : "SASL");
	else if (conf.sasl)
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "vnc_sasl = 1 without vnc_tls = 1: SCRAM cannot work so");
	else
		NOTE_CONFIGURED(l, console_is_loopback(conf.listen) ? POSTURE_WARN : POSTURE_FAIL, file,
				"guests' consoles ask for nothing, at %s", conf.listen);
}

static void look_tls_of(struct posture_look *l, const struct console *c)
{
	const struct rfb_seen *s = &c->rfb;
	if (!console_answered(l, c))
		return;
	bool old = s->tls.done && strcmp(s->tls.protocol, "TLSv1.2") && strcmp(s->tls.protocol, "TLSv1.3");
	if (rfb_has_subtype(s, RFB_TLS_NONE, RFB_TLS_PLAIN) || rfb_has_subtype(s, RFB_TLS_SASL, RFB_TLS_SASL))
		console_note(l, POSTURE_FAIL, c, "takes TLS without a certificate: a man in the middle is not noticed");
	else if (s->tls.done)
		console_note(l, old ? POSTURE_FAIL : POSTURE_PASS, c, "speaks %s, %s", s->tls.protocol, s->tls.cipher);
	else if (console_reach(c) == REACH_LOOPBACK)
		console_note(l, POSTURE_PASS, c, "is not encrypted, and does not leave this host");
	else
		console_note(l, POSTURE_FAIL, c, "is not encrypted, and is reached from elsewhere");
}

static void look_tls(struct posture_look *l)
{
	for (const struct console *c = console_next(l, CONSOLE_VNC, NULL); c; c = console_next(l, CONSOLE_VNC, c))
		look_tls_of(l, c);
	struct console_conf conf;
	if (!console_is_used(l) || !console_conf_read(l, &conf))
		return;
	bool safe = conf.tls || conf.auto_unix || console_is_loopback(conf.listen);
	NOTE_CONFIGURED(l, safe ? POSTURE_PASS : POSTURE_FAIL, host_conf_path(HOST_CONF_QEMU), "vnc_tls = %ld, at %s",
			conf.tls, conf.auto_unix ? "UNIX sockets" : conf.listen);
}

/* What QEMU was told to do with clients' certificates. */
static bool is_told_to_verify(const struct host_guest *g)
{
	const char *object;
	for (unsigned i = 0; (object = proc_argument(&g->proc, "-object", i)); i++)
		if (strstr(object, "vnc-tls-creds") &&
		    (strstr(object, "\"verify-peer\":true") || strstr(object, "verify-peer=yes") ||
		     strstr(object, "verify-peer=on")))
			return true;
	return false;
}

static void look_verify_of(struct posture_look *l, const struct console *c)
{
	const struct rfb_seen *s = &c->rfb;
	if (c->probed < 0) {
		console_answered(l, c);
		return;
	}
	if (!s->tls.done)
		return;
	bool told = c->guest && c->guest->proc.fd >= 0 && is_told_to_verify(c->guest);
	if (s->end == RFB_CUT_OFF)
		console_note(l, POSTURE_PASS, c, "ends the connection of who has no certificate");
	else if (s->end == RFB_CONSOLE)
		console_note(l, POSTURE_FAIL, c, "gives the console to who has no certificate%s",
			     told ? ", though QEMU is told to verify" : "");
	else if (console_is_guarded(c))
		console_note(l, POSTURE_PASS, c, "takes who has no certificate, and asks for SASL");
	else
		console_note(l, POSTURE_WARN, c, "takes who has no certificate, and asks for a password");
}

static void look_verify(struct posture_look *l)
{
	for (const struct console *c = console_next(l, CONSOLE_VNC, NULL); c; c = console_next(l, CONSOLE_VNC, c))
		look_verify_of(l, c);
	struct console_conf conf;
	if (!console_is_used(l) || !console_conf_read(l, &conf) || !conf.tls)
		return;
	NOTE_CONFIGURED(l, conf.verify || conf.sasl ? POSTURE_PASS : POSTURE_FAIL, host_conf_path(HOST_CONF_QEMU),
			"vnc_tls_x509_verify = %ld, vnc_sasl = %ld", conf.verify, conf.sasl);
}

const struct posture_check posture_console[] = {
	{ "console.listen", "consoles are not reached from elsewhere",
	  "Who reaches a guest's console has its keyboard: a reboot into single user mode is all that it takes.",
	  "set vnc_listen = \"127.0.0.1\" or vnc_auto_unix_socket = 1 in /etc/libvirt/qemu.conf, take listen= out of "
	  "the "
	  "guest's <graphics>, and start it anew",
	  look_listen },
	{ "console.auth", "consoles ask who it is",
	  "Any user or program of the host, or anybody at all, has the guest's keyboard and screen.",
	  "set vnc_auto_unix_socket = 1, or vnc_tls = 1 with vnc_tls_x509_verify = 1 or vnc_sasl = 1, in "
	  "/etc/libvirt/qemu.conf, and start the guest anew",
	  look_auth },
	{ "console.tls", "consoles that leave the host are encrypted",
	  "Who is on the way reads what is typed, passwords of disks and people among it.",
	  "set vnc_tls = 1 in /etc/libvirt/qemu.conf, with certificates in /etc/pki/libvirt-vnc, and start the guest "
	  "anew",
	  look_tls },
	{ "console.verify", "consoles refuse clients without a certificate",
	  "TLS alone encrypts, and lets everybody in.",
	  "set vnc_tls_x509_verify = 1 in /etc/libvirt/qemu.conf, and start the guest anew", look_verify },
	{ "console.certificate", "the consoles' certificates are good",
	  "Where a certificate has ended or does not fit, people click it away, the next one of an attacker too.",
	  "renew it in vnc_tls_x509_cert_dir, with its key readable by QEMU's user only", console_look_certificate },
	{ "console.served", "guests show the certificate that the file holds",
	  "A guest keeps what it read at its start: a certificate that was replaced, or has ended, is still in use.",
	  "reload it in the running guest, or start the guest anew", console_look_served },
	{ "console.ports", "consoles' ports are known, and filtered",
	  "A range that nobody set may reach ports that the host's filter lets through.",
	  "set remote_display_port_min and remote_display_port_max in /etc/libvirt/qemu.conf, and filter that range",
	  console_look_ports },
	{ "console.password", "no console's password is kept in plain",
	  "VNC's passwords are eight characters in a file, for all who read it or a backup of it.",
	  "take passwd= out of the guest's <graphics>, and vnc_password and spice_password out of "
	  "/etc/libvirt/qemu.conf",
	  console_look_password },
	{ "console.websocket", "consoles for browsers are encrypted",
	  "Who is on the way reads what is typed, and types.",
	  "take websocket= out of the guest's <graphics>, or set vnc_tls = 1 in /etc/libvirt/qemu.conf",
	  console_look_websocket },
	{ "console.serial", "serial ports do not go over the network in plain",
	  "A serial console is a login prompt, or a root shell in early boot, for whoever connects.",
	  "use type='pty' or 'unix', or set chardev_tls = 1 in /etc/libvirt/qemu.conf, and start the guest anew",
	  console_look_serial },
	{ 0 },
};
