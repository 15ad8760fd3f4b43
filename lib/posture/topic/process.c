/* A guest is a process: as whom it runs, and what it may do. */
#include "lib/posture/topic/process.h"

#include "lib/guest/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* libvirt takes a name, a number, or +number. */
static bool is_root(const char *who)
{
	return who && (!strcmp(who, "root") || !strcmp(who + (*who == '+'), "0"));
}

static void look_user(struct posture_look *l)
{
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		char ids[128] = "";
		unsigned real, effective, saved, fs;
		proc_status(&g->proc, "Uid", ids, sizeof(ids));
		if (sscanf(ids, "%u %u %u %u", &real, &effective, &saved, &fs) != 4)
			NOTE_RUNNING(l, POSTURE_UNKNOWN, g, "its process does not say as whom it runs");
		else if (!real || !effective || !saved || !fs)
			NOTE_RUNNING(l, POSTURE_FAIL, g, "its process runs as root");
		else
			NOTE_RUNNING(l, POSTURE_PASS, g, "its process runs as user %u", effective);
	}
	AUTOFREE char *user = NULL, *group = NULL;
	const char *file = host_conf_path(HOST_CONF_QEMU);
	if (!look_conf_text(l, HOST_CONF_QEMU, "user", &user) || !look_conf_text(l, HOST_CONF_QEMU, "group", &group))
		return;
	if (is_root(user))
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "user = \"%s\": guests that start from now on run as root",
				user);
	else if (is_root(group))
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "group = \"%s\"", group);
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "user = %s", user ? user : "not set, which is not root");
}

static void look_capabilities(struct posture_look *l)
{
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		uint64_t permitted = 0, effective = 0, ambient = 0;
		if (!proc_status_hex(&g->proc, "CapPrm", &permitted) ||
		    !proc_status_hex(&g->proc, "CapEff", &effective) || !proc_status_hex(&g->proc, "CapAmb", &ambient))
			NOTE_RUNNING(l, POSTURE_UNKNOWN, g, "its process does not say what it may do");
		else if (permitted | effective)
			NOTE_RUNNING(l, POSTURE_FAIL, g,
				     "its process has capabilities: permitted %" PRIx64 ", effective %" PRIx64,
				     permitted, effective);
		else if (ambient)
			NOTE_RUNNING(l, POSTURE_WARN, g, "what its process starts has capabilities: ambient %" PRIx64,
				     ambient);
		else
			NOTE_RUNNING(l, POSTURE_PASS, g, "its process has no capabilities");
	}
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g))
		if (look_count(l, g, g->config, "/domain/*[local-name() = 'capabilities']/*[local-name() = 'add']") > 0)
			NOTE_CONFIGURED(l, POSTURE_FAIL, g->subject,
					"its definition gives QEMU capabilities (<qemu:capabilities>)");
	long clear;
	if (look_conf_number(l, HOST_CONF_QEMU, "clear_emulator_capabilities", 1, &clear))
		NOTE_CONFIGURED(l, clear ? POSTURE_PASS : POSTURE_FAIL, host_conf_path(HOST_CONF_QEMU),
				"clear_emulator_capabilities = %ld", clear);
}

static const char *const denied[] = { "obsolete=deny", "elevateprivileges=deny", "spawn=deny", "resourcecontrol=deny" };

/* How many of QEMU's own four sets of calls are denied. */
static size_t denies(const char *sandbox)
{
	size_t n = 0;
	for (size_t i = 0; sandbox && i < ARRAY_LEN(denied); i++)
		n += strstr(sandbox, denied[i]) != NULL;
	return n;
}

static void look_sandbox(struct posture_look *l)
{
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		char mode[16] = "", privileges[16] = "";
		proc_status(&g->proc, "Seccomp", mode, sizeof(mode));
		proc_status(&g->proc, "NoNewPrivs", privileges, sizeof(privileges));
		size_t n = denies(proc_argument(&g->proc, "-sandbox", 0));
		if (strcmp(mode, "2"))
			NOTE_RUNNING(l, *mode ? POSTURE_FAIL : POSTURE_UNKNOWN, g,
				     "no filter of system calls is in force (Seccomp: %s)",
				     *mode ? mode : "the kernel does not say");
		else if (strcmp(privileges, "1"))
			NOTE_RUNNING(l, POSTURE_WARN, g,
				     "its process may gain privileges by what it executes (NoNewPrivs: %s)",
				     privileges);
		else if (n < ARRAY_LEN(denied))
			NOTE_RUNNING(l, POSTURE_WARN, g, "its filter denies %zu of %zu sets of system calls", n,
				     ARRAY_LEN(denied));
		else
			NOTE_RUNNING(l, POSTURE_PASS, g, "system calls are filtered, %zu sets are denied", n);
	}
	long sandbox;
	if (look_conf_number(l, HOST_CONF_QEMU, "seccomp_sandbox", -1, &sandbox))
		NOTE_CONFIGURED(l, sandbox ? POSTURE_PASS : POSTURE_FAIL, host_conf_path(HOST_CONF_QEMU),
				"seccomp_sandbox = %ld", sandbox);
}

/* Is it kept from other processes of its user by SELinux or AppArmor? Their labels: svirt_t, libvirt-UUID. */
static bool is_confined(const struct proc *p)
{
	AUTOFREE char *label = NULL;
	if (proc_read(p, "attr/current", &label, NULL, NULL) < 0)
		return false;
	return strstr(label, ":svirt") || (!strncmp(label, "libvirt-", 8) && strstr(label, "(enforce)"));
}

static bool same_user(const struct host_guest *a, const struct host_guest *b)
{
	char x[128] = "", y[128] = "";
	proc_status(&a->proc, "Uid", x, sizeof(x));
	proc_status(&b->proc, "Uid", y, sizeof(y));
	return *x && !strcmp(x, y);
}

static void look_shared_user(struct posture_look *l)
{
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		const struct host_guest *other = NULL;
		for (size_t i = 0; i < l->host->n && !other; i++)
			if (&l->host->guests[i] != g && l->host->guests[i].proc.fd >= 0 &&
			    same_user(g, &l->host->guests[i]))
				other = &l->host->guests[i];
		if (!other)
			NOTE_RUNNING(l, POSTURE_PASS, g, "no other guest runs as its user");
		else if (is_confined(&g->proc))
			NOTE_RUNNING(l, POSTURE_PASS, g,
				     "other guests run as its user, and a security module keeps it from them");
		else
			NOTE_RUNNING(l, POSTURE_WARN, g,
				     "domain %s runs as the same user, and no security module keeps them apart",
				     other->name);
	}
}

/* Of two processes, or with /proc/self: is it the same namespace? 1, 0 or an error. */
static int same_namespace(const struct proc *p, const char *daemon, struct error *e)
{
	char a[64], b[64];
	ssize_t n = readlink(daemon, b, sizeof(b) - 1);
	if (n < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be read", daemon);
	b[n] = 0;
	int r = proc_link(p, "ns/mnt", a, sizeof(a), e);
	return r < 0 ? r : !strcmp(a, b);
}

static void look_namespace(struct posture_look *l)
{
	char path[64] = "/proc/1/ns/mnt";
	bool runs = false;
	pid_t pid = 0;
	struct error e;
	if (guest_daemon_runs(&runs, &pid, NULL) == 0 && pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		int r = same_namespace(&g->proc, path, &e);
		if (r < 0)
			note_unknown(l, POSTURE_RUNNING, g->subject, &e);
		else
			NOTE_RUNNING(l, r ? POSTURE_WARN : POSTURE_PASS, g,
				     r ? "its process sees all file systems and devices that the host sees"
				       : "its process has a mount namespace of its own");
	}
	long n;
	if (look_conf_count(l, HOST_CONF_QEMU, "namespaces", 1, &n))
		NOTE_CONFIGURED(l, n ? POSTURE_PASS : POSTURE_WARN, host_conf_path(HOST_CONF_QEMU), "namespaces: %s",
				n ? "mount" : "none, so guests that start from now on share the host's");
}

const struct posture_check posture_process[] = {
	{ "process.user", "guests run as a user of their own, not as root",
	  "A guest that breaks out of QEMU is then root of the host.",
	  "set user and group in /etc/libvirt/qemu.conf to libvirt-qemu, and start the guest anew", look_user },
	{ "process.capabilities", "QEMU has no capabilities",
	  "A guest that breaks out of QEMU can then mount, trace or load modules as far as they go.",
	  "set clear_emulator_capabilities = 1 in /etc/libvirt/qemu.conf, take <qemu:capabilities> away, and start the "
	  "guest anew",
	  look_capabilities },
	{ "process.sandbox", "QEMU's system calls are filtered",
	  "A guest that breaks out of QEMU can then reach all of the kernel, and start programs.",
	  "set seccomp_sandbox = 1 in /etc/libvirt/qemu.conf, and start the guest anew", look_sandbox },
	{ "process.shared-user", "guests of one user are kept apart by a security module",
	  "A guest that breaks out of QEMU can then read the memory and the disk keys of each guest of that user.",
	  "switch SELinux or AppArmor on (see mac.enforcing), or give each guest <seclabel type='static' model='dac'> "
	  "of its own",
	  look_shared_user },
	{ "process.core", "QEMU's memory is never written to a core dump", "It holds the keys of its disks, in plain.",
	  "set max_core = 0 in /etc/libvirt/qemu.conf, and Storage=none in coredump.conf where systemd-coredump takes "
	  "dumps",
	  process_look_core },
	{ "process.swap", "QEMU's memory is not swapped to an unencrypted device",
	  "It holds the keys of its disks, in plain, and a swap device keeps them.",
	  "encrypt the swap device (crypttab: swap), use zram, or lock the guest's memory (<memoryBacking><locked/>)",
	  process_look_swap },
	{ "process.namespace", "QEMU sees only the devices that are its own",
	  "A guest that breaks out of QEMU can then open what its user may open in the host's /dev.",
	  "take namespaces = [] out of /etc/libvirt/qemu.conf, and start the guest anew", look_namespace },
	{ "process.passthrough", "no guest has a way past libvirt's rules",
	  "Arguments of their own, a foreign emulator, shared directories and devices are not held by what else is "
	  "checked here.",
	  "take it out of the definition (`virsh edit`), or say in check.conf why it must be",
	  process_look_passthrough },
	{ 0 },
};
