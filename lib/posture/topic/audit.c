/* Linux Audit: does the log tell who read a key, an image, the keystore? Asked of the kernel, not of files. */
#include "lib/posture/look.h"

#include "keystore/keystore.h"
#include "lib/posture/host/audit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define KERNEL "the kernel's audit"

/* The rules of this host; false and noted where there are none to see. */
static bool read_audit(struct posture_look *l, struct host_audit *ret)
{
	struct error e;
	if (!l->host->running || !l->host->local)
		return false;
	if (host_audit_read(ret, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, KERNEL, &e);
		return false;
	}
	if (ret->absent)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, KERNEL, "this kernel has none");
	return !ret->absent;
}

static void look_boot(struct posture_look *l)
{
	char line[4096] = "", path[PATH_MAX];
	FILE *f = l->host->running ? fopen(host_path(l->host, "/proc/cmdline", path, sizeof(path)), "re") : NULL;
	if (!f || !l->host->local) {
		if (f)
			fclose(f);
		return;
	}
	size_t n = fread(line, 1, sizeof(line) - 1, f);
	line[n] = 0;
	fclose(f);
	bool on = false, room = false;
	char *save = NULL;
	for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		on |= !strcmp(word, "audit=1");
		room |= !strncmp(word, "audit_backlog_limit=", 20);
	}
	note(l, on ? POSTURE_PASS : POSTURE_WARN, POSTURE_RUNNING, "/proc/cmdline",
	     on ? "audit=1" : "no audit=1: what started before auditd leaves no records");
	if (on && !room)
		note(l, POSTURE_WARN, POSTURE_RUNNING, "/proc/cmdline",
		     "no audit_backlog_limit=: records of the start may be lost");
}

static void look_daemon(struct posture_look *l)
{
	AUTOAUDIT struct host_audit a = { 0 };
	if (!read_audit(l, &a))
		return;
	if (!a.enabled)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, KERNEL, "it is off");
	else if (!a.daemon)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, KERNEL, "it is on, and no daemon takes its records");
	else
		note(l, POSTURE_PASS, POSTURE_RUNNING, KERNEL, "it is on, process %d takes its records", (int)a.daemon);
	if (a.lost)
		note(l, POSTURE_WARN, POSTURE_RUNNING, KERNEL, "%u records were lost since the start", a.lost);
	if (a.enabled == 1)
		note(l, POSTURE_WARN, POSTURE_RUNNING, KERNEL,
		     "root can switch it off or change its rules (-e 2 locks them)");
}

/*
 * Is there a rule that tells of who does this to the path? One that leaves programs out, which is how the daemon's
 * own reading is kept out of the log, tells of all others; one that names a label or a user does not.
 */
static bool is_watched(const struct host_audit *a, const char *path, uint32_t permissions)
{
	for (size_t i = 0; i < a->n; i++) {
		uint32_t f = 0;
		char label[256];
		const struct audit_rule_data *r = a->rules[i];
		if (!audit_rule_watches(r, path, permissions) || audit_rule_names_label(r, label, sizeof(label)))
			continue;
		if (!audit_rule_field(r, AUDIT_EXE, &f) || (r->fieldflags[f] & AUDIT_NOT_EQUAL) == AUDIT_NOT_EQUAL)
			return true;
	}
	return false;
}

static void look_watched(struct posture_look *l, const char *path, uint32_t permissions)
{
	AUTOAUDIT struct host_audit a = { 0 };
	if (!read_audit(l, &a))
		return;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return;
	bool is = a.enabled && is_watched(&a, path, permissions);
	note(l, is ? POSTURE_PASS : POSTURE_FAIL, POSTURE_RUNNING, path, "%s",
	     is		 ? "who reads or changes it is in the audit log"
	     : a.enabled ? "no rule of the kernel's tells who reads or changes it"
			 : "audit is off");
}

static void look_tls_key(struct posture_look *l)
{
	look_watched(l, "/etc/pki/libvirt/private", AUDIT_PERM_READ);
	look_watched(l, "/etc/pki/libvirt-vnc", AUDIT_PERM_READ);
}

static void look_images(struct posture_look *l)
{
	look_watched(l, "/var/lib/libvirt/images", AUDIT_PERM_READ | AUDIT_PERM_WRITE);
}

static void look_secrets(struct posture_look *l)
{
	look_watched(l, "/etc/libvirt/secrets", AUDIT_PERM_READ);
}

static void look_keystore(struct posture_look *l)
{
	AUTOFREE char *path = NULL;
	struct error e;
	if (keystore_location(l->host->keystore, &path, &e) < 0)
		note_unknown(l, POSTURE_RUNNING, "keystore", &e);
	else
		look_watched(l, path, AUDIT_PERM_READ | AUDIT_PERM_WRITE);
}

static void look_config(struct posture_look *l)
{
	look_watched(l, "/etc/libvirt", AUDIT_PERM_WRITE | AUDIT_PERM_ATTR);
}

/* SELinux or another module that rules can name labels of. */
static bool labels_are_known(void)
{
	char text[256] = "";
	FILE *f = fopen("/sys/kernel/security/lsm", "re");
	bool known = f && fgets(text, sizeof(text), f) && strstr(text, "selinux");
	if (f)
		fclose(f);
	return known || access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* Why a rule never matches; false: it may. */
static bool is_dead(const struct audit_rule_data *r, char *why, size_t len)
{
	char text[PATH_MAX];
	uint32_t f = 0;
	if (audit_rule_names_label(r, text, sizeof(text)) && !labels_are_known()) {
		snprintf(why, len, "it names the label '%.200s', and no security module that has labels is on", text);
		return true;
	}
	if (audit_rule_field(r, AUDIT_EXE, &f) && audit_rule_copy(r, AUDIT_EXE, text, sizeof(text)) &&
	    access(text, F_OK) < 0 && (r->fieldflags[f] & AUDIT_NOT_EQUAL) != AUDIT_NOT_EQUAL) {
		snprintf(why, len, "it names the program %.200s, which is not there", text);
		return true;
	}
	if ((audit_rule_copy(r, AUDIT_DIR, text, sizeof(text)) ||
	     audit_rule_copy(r, AUDIT_WATCH, text, sizeof(text))) &&
	    access(text, F_OK) < 0 && errno == ENOENT) {
		snprintf(why, len, "it watches %.200s, which is not there", text);
		return true;
	}
	return false;
}

static void look_dead_rules(struct posture_look *l)
{
	AUTOAUDIT struct host_audit a = { 0 };
	if (!read_audit(l, &a))
		return;
	size_t dead = 0;
	for (size_t i = 0; i < a.n; i++) {
		char why[512], key[128] = "", subject[160];
		if (!is_dead(a.rules[i], why, sizeof(why)))
			continue;
		dead++;
		audit_rule_copy(a.rules[i], AUDIT_FILTERKEY, key, sizeof(key));
		snprintf(subject, sizeof(subject), "rule %zu%s%s", i + 1, *key ? ", key " : "", key);
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject, "it never matches: %s", why);
	}
	if (!dead && a.n)
		note(l, POSTURE_PASS, POSTURE_RUNNING, KERNEL, "each of its %zu rules can match", a.n);
}

static void look_libvirt(struct posture_look *l)
{
	long level;
	const char *file = host_conf_path(HOST_CONF_DAEMON);
	if (look_conf_number(l, HOST_CONF_DAEMON, "audit_level", 1, &level))
		note(l, level ? POSTURE_PASS : POSTURE_FAIL, POSTURE_CONFIGURED, file, "audit_level = %ld%s", level,
		     level ? "" : ": no record of guests and their disks");
}

#define RULES "copy 50-kvmcrypt.rules of kvmcrypt's share directory to /etc/audit/rules.d, and `augenrules --load`"

const struct posture_check posture_audit[] = {
	{ "audit.boot", "audit is on from the first process",
	  "What starts before auditd leaves no records for all its life.",
	  "audit=1 audit_backlog_limit=8192 on the kernel's command line", look_boot },
	{ "audit.daemon", "audit is on, and its records are kept", "Nobody can tell afterwards who read a key.",
	  "install auditd and enable it; lock the rules with -e 2", look_daemon },
	{ "audit.tls-key", "who reads libvirt's and the consoles' TLS keys is logged",
	  "Who has the key is libvirt for every client.", RULES, look_tls_key },
	{ "audit.images", "who reads disk images past QEMU is logged", "A copied image can be attacked at leisure.",
	  RULES, look_images },
	{ "audit.secrets", "who reads libvirt's secrets is logged", "They open the disks of the guests.", RULES,
	  look_secrets },
	{ "audit.keystore", "who reads or changes the keystore is logged",
	  "Its audit trail tells what kvmcrypt did, and not who copied its files.", RULES, look_keystore },
	{ "audit.config", "who changes libvirt's configuration is logged", "A line there opens each guest.", RULES,
	  look_config },
	{ "audit.dead-rules", "every audit rule can match",
	  "A rule that the kernel takes and that never matches is a log that says nothing happened.",
	  "rewrite it with exe!= in the place of labels, or take it away", look_dead_rules },
	{ "audit.libvirt", "libvirt tells the audit log of guests and their disks",
	  "`ausearch -vm` finds nothing about a guest otherwise.", "audit_level = 1 in /etc/libvirt/libvirtd.conf",
	  look_libvirt },
	{ 0 },
};
