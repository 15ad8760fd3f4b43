/* SELinux and AppArmor: is each guest kept to what is its own, by a module that says no? */
#include "lib/posture/look.h"

#include "lib/guest/lazy.h"
#include "lib/posture/host/lsm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static void look_enforcing(struct posture_look *l)
{
	bool enforces;
	if (!l->host->running || !l->host->local)
		return;
	switch (lsm_active(&enforces)) {
	case LSM_SELINUX:
		note(l, enforces ? POSTURE_PASS : POSTURE_WARN, POSTURE_RUNNING, "SELinux", "it is %s",
		     enforces ? "enforcing" : "permissive: it tells, and denies nothing");
		return;
	case LSM_APPARMOR:
		note(l, POSTURE_PASS, POSTURE_RUNNING, "AppArmor",
		     "it is on; each profile has a mode of its own (mac.confined)");
		return;
	case LSM_NONE:
		note(l, POSTURE_FAIL, POSTURE_RUNNING, "the kernel", "neither SELinux nor AppArmor is on");
	}
}

static void look_driver(struct posture_look *l)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	char *xml = l->host->g ? virConnectGetCapabilities(l->host->g->conn) : NULL;
	struct error e;
	if (l->host->g && !xml) {
		guest_error(&e, "libvirt does not say which module it uses");
		note_unknown(l, POSTURE_RUNNING, "libvirt", &e);
	} else if (xml && guest_xml_find(&x, xml, "/capabilities/host/secmodel/model[. = 'selinux' or . = 'apparmor']",
					 &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, "libvirt", &e);
	} else if (xml && !guest_xml_count(&x)) {
		note(l, POSTURE_FAIL, POSTURE_RUNNING, "libvirt", "it confines guests with no security module");
	} else if (xml) {
		xmlChar *model = xmlNodeGetContent(guest_xml_node(&x, 0));
		note(l, POSTURE_PASS, POSTURE_RUNNING, "libvirt", "it confines guests with %s",
		     model ? (char *)model : "");
		lazy_xml_free(model);
	}
	free(xml);
	long confined, required;
	const char *file = host_conf_path(HOST_CONF_QEMU);
	if (!look_conf_number(l, HOST_CONF_QEMU, "security_default_confined", 1, &confined) ||
	    !look_conf_number(l, HOST_CONF_QEMU, "security_require_confined", 0, &required))
		return;
	if (!confined)
		note(l, POSTURE_FAIL, POSTURE_CONFIGURED, file,
		     "security_default_confined = 0: guests start unconfined");
	else
		note(l, required ? POSTURE_PASS : POSTURE_WARN, POSTURE_CONFIGURED, file,
		     "security_require_confined = %ld%s", required,
		     required ? "" : ": a definition may ask for no label, and gets it");
}

/* The label of its process, without what is behind it on the line; false: none. */
static bool label_of(const struct proc *p, char *buf, size_t len)
{
	AUTOFREE char *text = NULL;
	if (proc_read(p, "attr/current", &text, NULL, NULL) < 0)
		return false;
	snprintf(buf, len, "%.*s", (int)strcspn(text, "\n"), text);
	return *buf && strcmp(buf, "unconfined") != 0;
}

static void look_selinux(struct posture_look *l, const struct host_guest *g, const char *label)
{
	if (strstr(label, ":svirt_t:") || strstr(label, ":svirt_tcg_t:") || strstr(label, ":svirt_kvm_net_t:"))
		NOTE_RUNNING(l, POSTURE_PASS, g, "its process is confined as %s", label);
	else
		NOTE_RUNNING(l, POSTURE_FAIL, g, "its process runs as %s, which is no guest's type", label);
}

static void look_apparmor(struct posture_look *l, const struct host_guest *g, const char *label)
{
	char uuid[UUID_STR_LEN], profile[64];
	uuid_unparse_lower(g->uuid, uuid);
	snprintf(profile, sizeof(profile), "libvirt-%s", uuid);
	if (strncmp(label, profile, strlen(profile)) != 0)
		NOTE_RUNNING(l, POSTURE_FAIL, g, "its process runs under %s, which is not its own profile", label);
	else
		NOTE_RUNNING(l, strstr(label, "(enforce)") ? POSTURE_PASS : POSTURE_WARN, g,
			     "its process runs under %s", label);
}

static void look_confined(struct posture_look *l)
{
	bool enforces;
	enum lsm m = lsm_active(&enforces);
	if (m == LSM_NONE)
		return;
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		char label[256] = "";
		if (!label_of(&g->proc, label, sizeof(label)))
			NOTE_RUNNING(l, POSTURE_FAIL, g, "its process is not confined");
		else if (m == LSM_SELINUX)
			look_selinux(l, g, label);
		else
			look_apparmor(l, g, label);
	}
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g))
		if (look_count(l, g, g->config, "/domain/seclabel[@type = 'none' and not(@model = 'dac')]"))
			NOTE_CONFIGURED(l, POSTURE_FAIL, g->subject,
					"its definition asks for no confinement (<seclabel type='none'>)");
}

/* "s0:c115,c665" of a label; "" if it has no two categories. */
static void categories_of(const char *label, char *buf, size_t len)
{
	const char *c = strstr(label, ":c");
	snprintf(buf, len, "%s", c && strchr(c, ',') ? c + 1 : "");
}

static void look_categories(struct posture_look *l)
{
	bool enforces;
	if (lsm_active(&enforces) != LSM_SELINUX)
		return;
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		char label[256] = "", mine[64], others[64];
		const struct host_guest *same = NULL;
		label_of(&g->proc, label, sizeof(label));
		categories_of(label, mine, sizeof(mine));
		for (size_t i = 0; i < l->host->n && !same; i++) {
			const struct host_guest *o = &l->host->guests[i];
			if (o == g || o->proc.fd < 0 || !label_of(&o->proc, label, sizeof(label)))
				continue;
			categories_of(label, others, sizeof(others));
			same = !strcmp(mine, others) ? o : NULL;
		}
		if (!*mine)
			NOTE_RUNNING(l, POSTURE_FAIL, g, "its label has no two categories of its own");
		else if (same)
			NOTE_RUNNING(l, POSTURE_FAIL, g, "domain %s has its categories, too (%s)", same->name, mine);
		else
			NOTE_RUNNING(l, POSTURE_PASS, g, "its categories %s are no other guest's", mine);
	}
}

/* Of SELinux: who else may read a disk of a guest that runs? */
static void look_image(struct posture_look *l, const struct host_guest *g, xmlNodePtr source, const char *mine)
{
	char path[PATH_MAX] = "", label[256] = "", its[64], subject[512];
	guest_xml_copy(source, "file", path, sizeof(path));
	if (!*path)
		guest_xml_copy(source, "dev", path, sizeof(path));
	if (!*path)
		return;
	snprintf(subject, sizeof(subject), "%s, %.200s", g->subject, path);
	ssize_t n = getxattr(path, "security.selinux", label, sizeof(label) - 1);
	categories_of(label, its, sizeof(its));
	if (n < 0)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, subject,
		     "it has no label, or on a file system that keeps none");
	else if (strstr(label, ":virt_content_t:"))
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "it may be read by all guests, and written by none");
	else if (strstr(label, ":svirt_image_t:") && !strcmp(its, mine))
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "it has its guest's categories");
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject, "its label is %s", label);
}

static void look_images(struct posture_look *l)
{
	bool enforces;
	if (lsm_active(&enforces) != LSM_SELINUX)
		return;
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		AUTOGUESTXML struct guest_xml x = { 0 };
		char label[256] = "", mine[64];
		label_of(&g->proc, label, sizeof(label));
		categories_of(label, mine, sizeof(mine));
		if (!look_nodes(l, g, g->live, "/domain/devices/disk/source", &x))
			continue;
		for (size_t i = 0; i < guest_xml_count(&x); i++)
			look_image(l, g, guest_xml_node(&x, i), mine);
	}
}

const struct posture_check posture_mac[] = {
	{ "mac.enforcing", "a security module confines what QEMU may reach",
	  "A guest that breaks out of QEMU can then do all that QEMU's user may.",
	  "switch SELinux (enforcing) or AppArmor on; it takes a restart of the host", look_enforcing },
	{ "mac.driver", "libvirt confines every guest with it", "Guests then run beside the module, not under it.",
	  "security_driver, security_default_confined = 1 and security_require_confined = 1 in /etc/libvirt/qemu.conf",
	  look_driver },
	{ "mac.confined", "each running guest is under a label or profile of its own",
	  "A guest that breaks out of QEMU can then reach the others.",
	  "take <seclabel type='none'> out of the definition, put profiles into enforce mode, and start the guest anew",
	  look_confined },
	{ "mac.categories", "no two guests have the same categories",
	  "Guests of one pair of categories may read each other's disks.", "take static labels out of the definitions",
	  look_categories },
	{ "mac.images", "a guest's disks carry its label", "Other guests may read the disk.",
	  "take relabel='no' out of the definition, and start the guest anew", look_images },
	{ 0 },
};
