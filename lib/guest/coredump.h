/* Would a crash of a guest's QEMU leave its memory, keys of disks included, in a core dump? */
#ifndef LIB_GUEST_COREDUMP_H
#define LIB_GUEST_COREDUMP_H

#include "base/error.h"

#include <stdbool.h>

struct guest_core {
	bool runs;	/* as a guest of this host's system daemon; nothing is known of any other */
	long pid;
	bool dumps;
	char program[128];	/* that the kernel pipes dumps to, or "" */
};

/* domain: its name. One that ends meanwhile does not run. */
int guest_core_look(const char *domain, struct guest_core *ret, struct error *e);

/*
 * Sets max_core in qemu.conf, for guests that start once the daemon has read it. root: as boot_units_read() has it.
 * *ret_changed: it was not so before. ERROR_NOT_FOUND: no libvirt there.
 */
int guest_core_forbid(const char *root, bool dry_run, bool *ret_changed, struct error *e);

#endif
