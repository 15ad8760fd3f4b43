/* Whom sockets, rules and filters let reach libvirt's daemon, and SSH. */
#include "lib/posture/host/filter.h"
#include "lib/posture/topic/management.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool unix_asks(struct posture_look *l, const char *key, char *buf, size_t len)
{
	AUTOFREE char *text = NULL;
	if (!look_conf_text(l, HOST_CONF_DAEMON, key, &text))
		return false;
	/* With polkit built in, as distributions do, it is what is asked. */
	snprintf(buf, len, "%s", text ? text : "polkit");
	return true;
}

/* Names of who is in a group, by the host's own files; NULL: out of memory, or they cannot be read. */
static char *members(struct posture_look *l, gid_t gid)
{
	AUTOFREE char *groups = management_read(l, "/etc/group"), *users = management_read(l, "/etc/passwd");
	char *list = NULL, *save = NULL;
	size_t len;
	FILE *to = groups && users ? open_memstream(&list, &len) : NULL;
	if (!to)
		return NULL;
	for (char *line = strtok_r(groups, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned number;
		char names[1024];
		if (sscanf(line, "%*[^:]:%*[^:]:%u:%1023s", &number, names) == 2 && number == gid)
			fprintf(to, "%s%s", ftell(to) ? "," : "", names);
	}
	for (char *line = strtok_r(users, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned uid, group;
		char name[256];
		if (sscanf(line, "%255[^:]:%*[^:]:%u:%u", name, &uid, &group) == 3 && group == gid && uid != 0)
			fprintf(to, "%s%s", ftell(to) ? "," : "", name);
	}
	fclose(to);
	return list;
}

static void look_group(struct posture_look *l, const char *socket, gid_t gid)
{
	AUTOFREE char *names = gid ? members(l, gid) : NULL;
	if (gid && !names)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, socket, "who is in group %u is not known", gid);
	else if (names && *names)
		note(l, POSTURE_WARN, POSTURE_RUNNING, socket, "these are root of the host by it: %s", names);
	else
		note(l, POSTURE_PASS, POSTURE_RUNNING, socket, "nobody but root may write to it");
}

static void look_socket(struct posture_look *l, const char *socket, const char *auth)
{
	struct stat st;
	if (stat(socket, &st) < 0) {
		if (errno == ENOENT)
			return;
		struct error e;
		error_errno(&e, ERROR_FAILED, errno, "it cannot be looked at");
		note_unknown(l, POSTURE_RUNNING, socket, &e);
		return;
	}
	unsigned mode = st.st_mode & 07777;
	bool asked = strcmp(auth, "none") != 0;
	if ((mode & S_IWOTH) && !asked)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, socket, "mode %04o, and who writes to it is not asked who he is",
		     mode);
	else if (asked)
		note(l, POSTURE_PASS, POSTURE_RUNNING, socket, "mode %04o, and asks by %s", mode, auth);
	else if (mode & S_IWGRP)
		look_group(l, socket, st.st_gid);
	else
		note(l, POSTURE_PASS, POSTURE_RUNNING, socket, "mode %04o", mode);
}

void management_look_socket(struct posture_look *l)
{
	char auth[32], perms[32];
	AUTOFREE char *text = NULL;
	if (!unix_asks(l, "auth_unix_rw", auth, sizeof(auth)) ||
	    !look_conf_text(l, HOST_CONF_DAEMON, "unix_sock_rw_perms", &text))
		return;
	if (l->host->running && l->host->local) {
		look_socket(l, "/run/libvirt/libvirt-sock", auth);
		/* Its administration asks nobody who he is. */
		look_socket(l, "/run/libvirt/libvirt-admin-sock", "none");
	}
	/* What it is for all, where polkit is built in. */
	snprintf(perms, sizeof(perms), "%s", text ? text : "0777");
	bool open_to_all = (strtol(perms, NULL, 8) & S_IWOTH) && !strcmp(auth, "none");
	NOTE_CONFIGURED(l, open_to_all ? POSTURE_FAIL : POSTURE_PASS, host_conf_path(HOST_CONF_DAEMON),
			"auth_unix_rw = \"%s\", unix_sock_rw_perms = %s", auth, perms);
}

/* A rule that says yes without asking for whom. */
static void look_rule(struct posture_look *l, const char *file)
{
	AUTOFREE char *text = management_read(l, file);
	if (!text || !strstr(text, "org.libvirt") || !strstr(text, "Result.YES"))
		return;
	bool conditional = strstr(text, "subject.") != NULL;
	NOTE_CONFIGURED(l, conditional ? POSTURE_PASS : POSTURE_FAIL, file,
			conditional ? "says yes to some" : "says yes to everybody");
}

static void look_rules(struct posture_look *l, const char *dir)
{
	char path[PATH_MAX], file[PATH_MAX];
	DIR *d = opendir(host_path(l->host, dir, path, sizeof(path)));
	if (!d && errno != ENOENT) {
		struct error e;
		error_errno(&e, ERROR_FAILED, errno, "it cannot be read");
		note_unknown(l, POSTURE_CONFIGURED, dir, &e);
	}
	for (struct dirent *one; d && (one = readdir(d));) {
		size_t n = strlen(one->d_name);
		snprintf(file, sizeof(file), "%s/%s", dir, one->d_name);
		if (n > 6 && !strcmp(one->d_name + n - 6, ".rules"))
			look_rule(l, file);
	}
	if (d)
		closedir(d);
}

void management_look_access(struct posture_look *l)
{
	long n;
	look_rules(l, "/etc/polkit-1/rules.d");
	look_rules(l, "/usr/share/polkit-1/rules.d");
	AUTOFREE char *ignored = NULL;
	if (!look_conf_text(l, HOST_CONF_DAEMON, "access_drivers", &ignored) ||
	    !look_conf_count(l, HOST_CONF_DAEMON, "access_drivers", 0, &n))
		return;
	NOTE_CONFIGURED(l, n ? POSTURE_PASS : POSTURE_WARN, host_conf_path(HOST_CONF_DAEMON),
			n ? "access_drivers is set" : "access_drivers is not set: who may connect may do all");
}

/* The value of a line "keyword value" of what sshd says. */
static bool sshd_value(const char *text, const char *keyword, char *buf, size_t len)
{
	size_t n = strlen(keyword);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncasecmp(line, keyword, n) || line[n] != ' ')
			continue;
		snprintf(buf, len, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
		return true;
	}
	return false;
}

void management_look_ssh(struct posture_look *l)
{
	const struct host_probes *p = l->host->running ? host_probe(l->host) : NULL;
	char root[64], password[16], asked[16] = "no", forwarding[16] = "no";
	const char *subject = "sshd";
	if (!p) {
		note(l, POSTURE_UNKNOWN, POSTURE_CONFIGURED, subject, "what it would do is known where it runs only");
	} else if (p->sshd < 0 && p->no_sshd.kind == ERROR_NOT_FOUND) {
		NOTE_CONFIGURED(l, POSTURE_PASS, subject, "there is no SSH server");
	} else if (p->sshd < 0) {
		note_unknown(l, POSTURE_CONFIGURED, subject, &p->no_sshd);
	} else if (!sshd_value(p->sshd_text, "permitrootlogin", root, sizeof(root)) ||
		   !sshd_value(p->sshd_text, "passwordauthentication", password, sizeof(password))) {
		note(l, POSTURE_UNKNOWN, POSTURE_CONFIGURED, subject, "it does not say whom it lets in");
	} else {
		sshd_value(p->sshd_text, "kbdinteractiveauthentication", asked, sizeof(asked));
		sshd_value(p->sshd_text, "allowtcpforwarding", forwarding, sizeof(forwarding));
		bool passwords = strcmp(password, "no") || strcmp(asked, "no");
		if (!strcmp(root, "yes") && passwords)
			NOTE_CONFIGURED(l, POSTURE_FAIL, subject, "root may log in with a password");
		else
			NOTE_CONFIGURED(l, POSTURE_PASS, subject, "PermitRootLogin %s, passwords: %s", root,
					passwords ? "yes" : "no");
		if (strcmp(forwarding, "no"))
			NOTE_CONFIGURED(l, POSTURE_WARN, subject,
					"AllowTcpForwarding %s: who logs in reaches what listens on loopback",
					forwarding);
	}
}

static void look_port(struct posture_look *l, const struct host_probes *p, const struct service_port *port)
{
	enum reach reach = socket_reach(&port->socket);
	if (reach != REACH_ANY)
		note(l, POSTURE_PASS, POSTURE_RUNNING, port->where,
		     reach == REACH_LOOPBACK ? "is reached from this host only" : "is bound to one address");
	else if (!p->ruleset)
		note(l, POSTURE_WARN, POSTURE_RUNNING, port->where,
		     "all addresses; whether a filter stops others is "
		     "not known");
	else if (filter_may_stop(p->ruleset, port->socket.port))
		note(l, POSTURE_WARN, POSTURE_RUNNING, port->where,
		     "all addresses; a filter of this host has rules for it");
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, port->where,
		     "all addresses, and no filter of this host stops "
		     "anybody");
}

void management_look_address(struct posture_look *l)
{
	const struct host_probes *p = management_probes(l);
	for (size_t i = 0; p && i < p->ports.n; i++)
		look_port(l, p, &p->ports.list[i]);
	if (p && !p->ports.n)
		note(l, geteuid() == 0 ? POSTURE_PASS : POSTURE_UNKNOWN, POSTURE_RUNNING, "libvirt's daemon",
		     geteuid() == 0 ? "no port of it listens" : "only root sees which ports are its own");
	AUTOFREE char *address = NULL, *migration = NULL;
	if (!look_conf_text(l, HOST_CONF_DAEMON, "listen_addr", &address) ||
	    !look_conf_text(l, HOST_CONF_QEMU, "migration_address", &migration))
		return;
	char why[128];
	bool listens = management_is_on(l, "tcp", why, sizeof(why)) || management_tls_is_on(l);
	NOTE_CONFIGURED(l, listens && !address ? POSTURE_WARN : POSTURE_PASS, host_conf_path(HOST_CONF_DAEMON),
			"listen_addr: %s",
			address	  ? address
			: listens ? "not set, so all"
				  : "not set, and none needed");
	bool any = !migration || !strcmp(migration, "0.0.0.0") || !strcmp(migration, "::");
	NOTE_CONFIGURED(l, any ? POSTURE_WARN : POSTURE_PASS, host_conf_path(HOST_CONF_QEMU),
			any ? "migration_address: guests that arrive are taken at all addresses%s"
			    : "migration_address: %s",
			any ? "" : migration);
}
