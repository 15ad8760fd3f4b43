/* The fixes: a line each, by the check that they mend. */
#include "lib/posture/harden/internal.h"

#include "lib/posture/host/lsm.h"

/* audit/50-kvmcrypt.rules as it is installed, for a program that runs from where it was built. */
__asm__(".section .rodata\n.balign 1\n.global harden_audit_rules\nharden_audit_rules:\n"
	".incbin \"audit/50-kvmcrypt.rules\"\n.byte 0\n.previous\n");
extern const char harden_audit_rules[];

/* Where no module is on libvirt refuses to start a guest that must be confined. */
static bool has_module(const struct host *h)
{
	return h->running && lsm_active(NULL) != LSM_NONE;
}

#define MARK "# Written by `kvmcrypt harden`; `kvmcrypt harden --undo` takes it away.\n"
#define QEMU(id, key, value, fits)                                                       \
	{                                                                                \
		id, FIX_CONF, HARDEN_GUEST, HOST_CONF_QEMU, key, value, NULL, NULL, fits \
	}
#define SYSCTL(id, key, value)                                              \
	{                                                                   \
		id, FIX_SYSCTL, HARDEN_NOW, 0, key, value, NULL, NULL, NULL \
	}
#define FILE_OF(id, when, path, content)                               \
	{                                                              \
		id, FIX_FILE, when, 0, NULL, NULL, path, content, NULL \
	}
#define AUDIT(id) FILE_OF(id, HARDEN_RELOAD, "/etc/audit/rules.d/50-kvmcrypt.rules", harden_audit_rules)

const struct fix harden_fixes[] = {
	QEMU("process.user", "user", NULL, NULL),
	QEMU("process.user", "group", NULL, NULL),
	QEMU("process.capabilities", "clear_emulator_capabilities", "1", NULL),
	QEMU("process.sandbox", "seccomp_sandbox", "1", NULL),
	QEMU("process.core", "max_core", "0", NULL),
	QEMU("process.core", "dump_guest_core", "0", NULL),
	QEMU("process.namespace", "namespaces", NULL, NULL),
	FILE_OF("network.filter-installed", HARDEN_RELOAD, "/etc/systemd/system/nftables.service.d/50-kvmcrypt.conf",
		MARK "# A flush of nftables takes libvirt's filters away; its reload puts them back.\n"
		     "[Service]\nExecStartPost=-/usr/bin/systemctl reload libvirtd.service\n"
		     "ExecReload=-/usr/bin/systemctl reload libvirtd.service\n"),
	FILE_OF("network.bridge-nf", HARDEN_NOW, "/etc/sysctl.d/50-kvmcrypt-bridge.conf",
		MARK "net.bridge.bridge-nf-call-iptables = 0\nnet.bridge.bridge-nf-call-ip6tables = 0\n"
		     "net.bridge.bridge-nf-call-arptables = 0\n"),
	FILE_OF("network.bridge-nf", HARDEN_NOW, "/etc/udev/rules.d/50-kvmcrypt-bridge.rules",
		MARK "# They become 1 when the module is loaded, which is after sysctl.d was read.\n"
		     "ACTION==\"add\", SUBSYSTEM==\"module\", KERNEL==\"br_netfilter\", "
		     "RUN+=\"/sbin/sysctl -p /etc/sysctl.d/50-kvmcrypt-bridge.conf\"\n"),
	SYSCTL("network.bridge-nf", "net/bridge/bridge-nf-call-iptables", "0"),
	SYSCTL("network.bridge-nf", "net/bridge/bridge-nf-call-ip6tables", "0"),
	SYSCTL("network.bridge-nf", "net/bridge/bridge-nf-call-arptables", "0"),
	QEMU("mac.driver", "security_default_confined", "1", has_module),
	QEMU("mac.driver", "security_require_confined", "1", has_module),
	AUDIT("audit.keystore"),
	AUDIT("audit.secrets"),
	AUDIT("audit.tls-key"),
	AUDIT("audit.images"),
	AUDIT("audit.config"),
	{ "audit.libvirt", FIX_CONF, HARDEN_DAEMON, HOST_CONF_DAEMON, "audit_level", "1", NULL, NULL, NULL },
	{ 0 },
};
