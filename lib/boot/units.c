#include "lib/boot/units.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct boot_unit all[BOOT_UNITS] = {
	{ "kvmcrypt-load.service", "before libvirt starts: its secrets directory into memory, with the keys", true,
	  true, "", false, "" },
	{ "kvmcrypt-reload.service", "after each start of libvirt: the keys again, where they are ephemeral", false,
	  true, "", false, "" },
	{ "kvmcrypt-unload.service", "at shutdown: secrets of others from memory to the disk", true, false, "", false,
	  "" },
};

/* systemd.unit(5), "System Unit Search Path", without those that are generated or in /run. */
static const char *const directories[] = {
	"/etc/systemd/system",
	"/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system",
	"/lib/systemd/system",
};

static void find_file(const char *root, struct boot_unit *u)
{
	for (size_t i = 0; i < ARRAY_LEN(directories) && !u->path[0]; i++) {
		snprintf(u->path, sizeof(u->path), "%.300s%s/%s", root, directories[i], u->name);
		if (access(u->path, F_OK) < 0)
			u->path[0] = 0;
	}
}

/* One `systemctl ACTION UNIT`; its first line to out. Its exit code says what out says. */
static int ask(const char *root, const char *action, const char *unit, char *out, size_t len, struct error *e)
{
	char option[512];
	snprintf(option, sizeof(option), "--root=%s", *root ? root : "/");
	const char *const here[] = { "systemctl", action, unit, NULL };
	const char *const there[] = { "systemctl", option, action, unit, NULL };
	const struct process p = { .argv = *root ? there : here, .stdout_max = 256 };
	struct process_result res = { 0 };
	int r = process_run(&p, &res, e);
	if (r < 0)
		return r;
	snprintf(out, len, "%.*s", (int)strcspn(res.out, "\n"), res.out);
	process_result_clear(&res);
	return 0;
}

int boot_units_read(const char *root, struct boot_unit ret[BOOT_UNITS], struct error *e)
{
	if (!root)
		root = "";
	/* sd_booted(3) */
	bool runs = !*root && access("/run/systemd/system", F_OK) == 0;
	memcpy(ret, all, sizeof(all));
	for (size_t i = 0; i < BOOT_UNITS; i++) {
		char answer[64] = "";
		find_file(root, &ret[i]);
		int r = ret[i].path[0] ? ask(root, "is-enabled", ret[i].name, answer, sizeof(answer), e) : 0;
		if (r == 0 && runs && ret[i].path[0])
			r = ask(root, "is-active", ret[i].name, ret[i].state, sizeof(ret[i].state), e);
		if (r < 0)
			return r;
		ret[i].enabled = !strcmp(answer, "enabled") || !strcmp(answer, "enabled-runtime");
	}
	return 0;
}

static int change(const char *root, const char *action, const char *unit, struct error *e)
{
	char option[512];
	snprintf(option, sizeof(option), "--root=%s", root && *root ? root : "/");
	const char *const here[] = { "systemctl", "--quiet", action, unit, NULL };
	const char *const there[] = { "systemctl", "--quiet", option, action, unit, NULL };
	const struct process p = { .argv = root && *root ? there : here };
	struct process_result res = { 0 };
	int r = process_run_checked(&p, &res, e);
	process_result_clear(&res);
	return r;
}

/* ---- the network ---- */

#define NETWORK "network-online.target"
#define LINK "%.300s/etc/systemd/system/%s.wants/" NETWORK

static int wants_network(const char *root, const struct boot_unit *u, bool *ret, struct error *e)
{
	char link[512];
	const char *const argv[] = { "systemctl", "show", "--value", "--property=Wants", u->name, NULL };
	const struct process p = { .argv = argv, .stdout_max = 4096 };
	struct process_result res = { 0 };
	snprintf(link, sizeof(link), LINK, root, u->name);
	*ret = faccessat(AT_FDCWD, link, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	/* Where systemd runs it knows of drop-ins, too. */
	if (*ret || !u->state[0])
		return 0;
	int r = process_run(&p, &res, e);
	if (r < 0)
		return r;
	*ret = strstr(res.out, NETWORK) != NULL;
	process_result_clear(&res);
	return 0;
}

int boot_network_read(const char *root, const struct boot_unit units[BOOT_UNITS], bool *ret, struct error *e)
{
	*ret = true;
	/* The first two unseal; the second finds what the first has loaded. */
	const struct boot_unit *u = units[0].enabled ? &units[0] : &units[1];
	return wants_network(root ? root : "", u, ret, e);
}

int boot_network_enable(const char *root, bool dry_run, struct error *e)
{
	char option[512];
	snprintf(option, sizeof(option), "--root=%s", root && *root ? root : "/");
	for (size_t i = 0; i < BOOT_UNITS && !dry_run; i++) {
		const char *const here[] = { "systemctl", "--quiet", "add-wants", all[i].name, NETWORK, NULL };
		const char *const there[] = { "systemctl", "--quiet", option, "add-wants", all[i].name, NETWORK, NULL };
		const struct process p = { .argv = root && *root ? there : here };
		int r = all[i].unseals ? process_run_checked(&p, NULL, e) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* systemctl has no opposite of add-wants. */
static void network_disable(const char *root)
{
	for (size_t i = 0; i < BOOT_UNITS; i++) {
		char link[512];
		snprintf(link, sizeof(link), LINK, root ? root : "", all[i].name);
		if (unlink(link) < 0)
			continue;
		*strrchr(link, '/') = 0;
		rmdir(link);
	}
}

int boot_units_enable(const char *root, const struct boot_unit units[BOOT_UNITS], bool ram, bool dry_run,
		      bool *ret_changed, struct error *e)
{
	*ret_changed = false;
	for (size_t i = 0; i < BOOT_UNITS; i++)
		if (!units[i].path[0])
			return error_set(e, ERROR_NOT_FOUND, ENOENT, "%s is not installed: `make install` does it",
					 units[i].name);
	for (size_t i = 0; i < BOOT_UNITS; i++) {
		bool want = ram || !units[i].for_ram;
		if (units[i].enabled == want)
			continue;
		*ret_changed = true;
		int r = dry_run ? 0 : change(root, want ? "enable" : "disable", units[i].name, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int boot_units_disable(const char *root, const struct boot_unit units[BOOT_UNITS], bool dry_run, bool *ret_changed,
		       struct error *e)
{
	*ret_changed = false;
	if (!dry_run)
		network_disable(root);
	for (size_t i = 0; i < BOOT_UNITS; i++) {
		if (!units[i].enabled)
			continue;
		*ret_changed = true;
		int r = dry_run ? 0 : change(root, "disable", units[i].name, e);
		if (r < 0)
			return r;
	}
	return 0;
}
