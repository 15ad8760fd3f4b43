/* Who reaches libvirt's daemon: by plain TCP, and who is connected now. The table of the topic. */
#include "lib/posture/topic/management.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const struct host_probes *management_probes(struct posture_look *l)
{
	if (!l->host->running)
		return NULL;
	const struct host_probes *p = host_probe(l->host);
	if (!p)
		l->out_of_memory = true;
	if (p && p->sockets < 0) {
		note_unknown(l, POSTURE_RUNNING, "libvirt's daemon", &p->no_sockets);
		return NULL;
	}
	return p;
}

char *management_read(struct posture_look *l, const char *file)
{
	char path[PATH_MAX], line[4096];
	FILE *f = fopen(host_path(l->host, file, path, sizeof(path)), "re");
	if (!f && errno == ENOENT)
		return strdup("");
	char *text = NULL;
	size_t len = 0;
	FILE *to = f ? open_memstream(&text, &len) : NULL;
	if (!to) {
		struct error e;
		error_errno(&e, ERROR_FAILED, errno, "it cannot be read");
		note_unknown(l, POSTURE_CONFIGURED, file, &e);
		if (f)
			fclose(f);
		return NULL;
	}
	while (len < 1024 * 1024 && fgets(line, sizeof(line), f))
		if (line[strspn(line, " \t")] != '#')
			fputs(line, to);
	fclose(f);
	fclose(to);
	return text;
}

/* Debian's way to give the daemon arguments; systemd's units have their own. */
static bool has_listen_argument(struct posture_look *l)
{
	AUTOFREE char *text = management_read(l, "/etc/default/libvirtd");
	return text && strstr(text, "--listen");
}

bool management_is_on(struct posture_look *l, const char *transport, char *why, size_t len)
{
	static const char *const daemons[] = { "libvirtd", "virtproxyd" };
	char path[PATH_MAX], unit[128], key[32];
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		snprintf(unit, sizeof(unit), "/etc/systemd/system/sockets.target.wants/%s-%s.socket", daemons[i],
			 transport);
		if (lstat(host_path(l->host, unit, path, sizeof(path)), &st) == 0) {
			snprintf(why, len, "%s-%s.socket is enabled", daemons[i], transport);
			return true;
		}
	}
	bool tls = !strcmp(transport, "tls");
	long on;
	snprintf(key, sizeof(key), "listen_%s", transport);
	if (!look_conf_number(l, HOST_CONF_DAEMON, key, tls, &on) || !on)
		return false;
	/* What is on by itself is not in use without this. */
	bool listens = has_listen_argument(l);
	if (!listens && tls)
		return false;
	snprintf(why, len, "%s = 1%s", key, listens ? ", and the daemon is started with --listen" : "");
	return true;
}

bool management_tls_is_on(struct posture_look *l)
{
	char why[128];
	const struct host_probes *p = l->host->running ? host_probe(l->host) : NULL;
	for (size_t i = 0; p && i < p->ports.n; i++)
		if (p->ports.list[i].tls.done || p->ports.list[i].expects_tls)
			return true;
	return management_is_on(l, "tls", why, sizeof(why));
}

/* Mechanisms that encrypt what they carry, and prove who is at the other end: the only ones for plain TCP. */
static bool only_gssapi(const char *mechanisms)
{
	return *mechanisms && !strcasecmp(mechanisms, "GSSAPI");
}

static void look_plain_port(struct posture_look *l, const struct service_port *p)
{
	const struct rpc_seen *s = &p->rpc;
	if (s->auth[RPC_AUTH_NONE])
		note(l, POSTURE_FAIL, POSTURE_RUNNING, p->where,
		     "takes orders from whoever connects, and nothing is encrypted");
	else if (s->auth[RPC_AUTH_SASL] && only_gssapi(s->mechanisms))
		note(l, POSTURE_WARN, POSTURE_RUNNING, p->where, "plain TCP, with SASL by %s", s->mechanisms);
	else if (s->auth[RPC_AUTH_SASL] && !*s->mechanisms)
		note(l, POSTURE_WARN, POSTURE_RUNNING, p->where,
		     "plain TCP, with SASL and no mechanism that is strong enough: nobody gets in");
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, p->where, "plain TCP, with SASL by %s", s->mechanisms);
}

static void look_tcp_running(struct posture_look *l)
{
	const struct host_probes *p = management_probes(l);
	size_t before = l->finding->n;
	for (size_t i = 0; p && i < p->ports.n; i++) {
		const struct service_port *port = &p->ports.list[i];
		if (port->plain)
			look_plain_port(l, port);
		else if (port->probed < 0 && !port->tls.done)
			note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, port->where, "%s", port->why.message);
	}
	if (!p || l->finding->n > before)
		return;
	if (geteuid() != 0)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, "libvirt's daemon",
		     "only root sees which ports are its own; none of the usual ones takes plain TCP");
	else
		note(l, POSTURE_PASS, POSTURE_RUNNING, "libvirt's daemon", "no port of it takes plain TCP");
}

static void look_tcp(struct posture_look *l)
{
	char why[128];
	const char *file = host_conf_path(HOST_CONF_DAEMON);
	AUTOFREE char *auth = NULL;
	look_tcp_running(l);
	if (!look_conf_text(l, HOST_CONF_DAEMON, "auth_tcp", &auth))
		return;
	if (!management_is_on(l, "tcp", why, sizeof(why)))
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "plain TCP is off");
	else if (auth && !strcmp(auth, "none"))
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "%s, with auth_tcp = \"none\"", why);
	else
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "%s, with SASL: see management.sasl", why);
}

static void look_client(struct posture_look *l, const struct rpc_client *c)
{
	static const char *const names[] = { "UNIX socket", "plain TCP", "TLS" };
	char subject[320];
	snprintf(subject, sizeof(subject), "client %s", *c->who ? c->who : "without a name");
	const char *name = c->transport < ARRAY_LEN(names) ? names[c->transport] : "an unknown transport";
	const char *how = c->readonly ? ", only to look" : "";
	if (c->transport == RPC_TCP)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject, "is connected by plain TCP now%s", how);
	else if (c->transport == RPC_UNIX && c->pid == getpid())
		return;
	else if (c->transport >= ARRAY_LEN(names))
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, subject, "is connected by %s now%s", name, how);
	else
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "is connected by %s now%s", name, how);
}

/* Over SSH the daemon sees a program of this host, whose user is who logged in. */
static bool comes_over_ssh(const struct rpc_client *c)
{
	AUTOPROC struct proc p = { .fd = -1 };
	pid_t pid = c->pid;
	for (int up = 0; c->transport == RPC_UNIX && pid > 1 && up < 8; up++) {
		char name[64] = "", parent[32] = "";
		proc_close(&p);
		if (proc_open(pid, &p, NULL) < 0)
			return false;
		if (proc_status(&p, "Name", name, sizeof(name)) && !strncmp(name, "sshd", 4))
			return true;
		proc_status(&p, "PPid", parent, sizeof(parent));
		pid = (pid_t)atoi(parent);
	}
	return false;
}

static void look_clients(struct posture_look *l)
{
	const struct host_probes *p = management_probes(l);
	if (!p)
		return;
	if (p->clients < 0) {
		note_unknown(l, POSTURE_RUNNING, "libvirt's daemon", &p->no_clients);
		return;
	}
	size_t before = l->finding->n;
	for (size_t i = 0; i < p->connected.n; i++) {
		const struct rpc_client *c = &p->connected.list[i];
		if (comes_over_ssh(c) && c->uid == 0)
			note(l, POSTURE_WARN, POSTURE_RUNNING, "a client", "is root's, and came over SSH (process %d)",
			     c->pid);
		else
			look_client(l, c);
	}
	if (p->connected.left_out)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, "libvirt's daemon", "%zu more clients were not looked at",
		     p->connected.left_out);
	if (l->finding->n == before)
		note(l, POSTURE_PASS, POSTURE_RUNNING, "libvirt's daemon", "nobody else is connected now");
}

const struct posture_check posture_management[] = {
	{ "management.tcp", "libvirt's daemon takes no plain TCP",
	  "Whoever is on the way reads and changes what is sent, disk keys too, and becomes root of the host.",
	  "set listen_tcp = 0 in /etc/libvirt/libvirtd.conf, `systemctl mask --now libvirtd-tcp.socket`, and use "
	  "qemu+ssh:// or qemu+tls://",
	  look_tcp },
	{ "management.sasl", "SASL uses mechanisms that hold",
	  "DIGEST-MD5, CRAM-MD5 and PLAIN give the password, or what is as good, to whoever listens or pretends.",
	  "set mech_list: scram-sha-256 (over TLS) or gssapi in /etc/sasl2/libvirt.conf, and its files to mode 0600",
	  management_look_sasl },
	{ "management.tls-verify", "TLS is refused to clients without a certificate",
	  "Whoever reaches the port is root of the host.",
	  "take tls_no_verify_certificate and tls_no_sanity_certificate out of /etc/libvirt/libvirtd.conf",
	  management_look_tls_verify },
	{ "management.tls-who", "not every certificate of the authority is an administrator",
	  "Any host's own server certificate opens this host, too: who breaks one of them has all.",
	  "list the clients in tls_allowed_dn_list in /etc/libvirt/libvirtd.conf, or set auth_tls = \"sasl\"",
	  management_look_tls_who },
	{ "management.both", "TLS and SASL are both asked for",
	  "A certificate is a file; who copies it off an administrator's machine is one from then on.",
	  "set auth_tls = \"sasl\" in /etc/libvirt/libvirtd.conf, with scram-sha-256 or gssapi in "
	  "/etc/sasl2/libvirt.conf",
	  management_look_both },
	{ "management.certificate", "libvirt's certificates are good",
	  "Where a certificate has ended or does not fit, people switch the verification off.",
	  "renew it: RSA of 2048 bits or EC, SHA-256, the host's name as subject alternative name, key usage digital "
	  "signature and key encipherment, extended key usage of a server",
	  management_look_certificate },
	{ "management.served", "the daemon shows the certificate that its file holds",
	  "A certificate that was replaced because its key leaked, or has ended, is still in use.",
	  "`virt-admin server-update-tls libvirtd`, or restart the daemon (then `kvmcrypt load`)",
	  management_look_served },
	{ "management.keys", "only root reads libvirt's private keys and passwords",
	  "Who reads them is this host to others, or an administrator to it.",
	  "`chmod 0600` and `chown root:root` for each; virt-pki-validate, which wants some of them readable, is wrong",
	  management_look_keys },
	{ "management.revocation", "revoked certificates are refused",
	  "A certificate that was stolen opens the host "
	  "until it ends.",
	  "put the authority's list, signed and not overdue, at /etc/pki/CA/cacrl.pem (crl_file in libvirtd.conf)",
	  management_look_revocation },
	{ "management.socket", "libvirt's sockets are for those who are meant",
	  "Who may write to the socket is root of the host: libvirt starts any program for him.",
	  "set auth_unix_rw = \"polkit\" in /etc/libvirt/libvirtd.conf, and keep group libvirt for administrators",
	  management_look_socket },
	{ "management.access", "who may do what is told apart",
	  "Without it each who may connect may do all, to all guests.",
	  "set access_drivers = [ \"polkit\" ] in /etc/libvirt/libvirtd.conf, and no rule of polkit that says yes to "
	  "all",
	  management_look_access },
	{ "management.clients", "nobody is connected by plain TCP now",
	  "What he sends and gets can be read and changed on the way.",
	  "see management.tcp; end the connection with `virt-admin client-disconnect libvirtd ID`", look_clients },
	{ "management.address", "management is reached from its own network only",
	  "A guest, or whoever is on its network, may try passwords and the next hole of the daemon.",
	  "set listen_addr, vnc_listen and migration_address to the management network's address, or filter the ports",
	  management_look_address },
	{ "management.ssh", "SSH lets root in by keys only", "A password of root's can be guessed from afar.",
	  "set PermitRootLogin prohibit-password and PasswordAuthentication no in /etc/ssh/sshd_config.d",
	  management_look_ssh },
	{ "management.migration", "a guest moves to another host encrypted",
	  "Its memory goes over the network in plain, and the keys of its disks with it.",
	  "set migrate_tls_force = 1 and migrate_tls_x509_verify = 1 in /etc/libvirt/qemu.conf, with certificates in "
	  "/etc/pki/qemu",
	  management_look_migration },
	{ "management.client-uri", "this host's own clients verify whom they speak to",
	  "A man in the middle gets the keys that kvmcrypt or others send.",
	  "take +tcp, no_verify=1 and sockets that are not libvirt's out of the URI, and let libssh verify hosts",
	  management_look_client_uri },
	{ 0 },
};
