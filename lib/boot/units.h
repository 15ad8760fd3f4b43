/* The systemd units that load keys when the host starts: installed, enabled, how they last went. */
#ifndef LIB_BOOT_UNITS_H
#define LIB_BOOT_UNITS_H

#include "base/error.h"

#include <stdbool.h>

#define BOOT_UNITS 3

struct boot_unit {
	const char *name;
	const char *does;	/* one line for a person */
	bool for_ram;		/* of no use where the directory of secrets stays on disk */
	bool unseals;		/* needs what the keystore is unsealed with */
	char path[512];		/* of the unit file, "" if it is not installed */
	bool enabled;
	char state[32];		/* "active", "inactive", "failed" …; "" where systemd does not run */
};

/* root: the host's file system when it is not this one ("" or NULL: this one, and its systemd is asked). */
int boot_units_read(const char *root, struct boot_unit ret[BOOT_UNITS], struct error *e);

/* As `systemctl enable` and `disable`. ERROR_NOT_FOUND: a unit is not installed, and what installs it. */
int boot_units_enable(const char *root, const struct boot_unit units[BOOT_UNITS], bool ram, bool dry_run,
		      bool *ret_changed, struct error *e);
int boot_units_disable(const char *root, const struct boot_unit units[BOOT_UNITS], bool dry_run, bool *ret_changed,
		       struct error *e);

/*
 * Do the units wait for the network, as Tang servers need it? By Wants=network-online.target, of the unit that is
 * enabled; enabling the units does not bring it, disabling takes away what boot_network_enable() has made.
 */
int boot_network_read(const char *root, const struct boot_unit units[BOOT_UNITS], bool *ret, struct error *e);
int boot_network_enable(const char *root, bool dry_run, struct error *e);

#endif
