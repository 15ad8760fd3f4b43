/* What boot enable, disable and status show. */
#ifndef CMD_BOOT_OUTPUT_H
#define CMD_BOOT_OUTPUT_H

#include "cmd/command.h"
#include "lib/boot/units.h"

/*
 * The units, where libvirt's secrets are, and what unseals the keystore, read anew. changed -1: not asked. judge: what
 * would keep guests from starting by themselves is told of, and is ERROR_FAILED.
 */
int boot_output(struct context *ctx, const char *root, int changed, bool judge, struct error *e);

/*
 * Has the keystore a slot whose servers are reached over the network? Not if it cannot be read: `boot status` tells
 * of that.
 */
bool boot_needs_network(struct context *ctx);

#define OPTION_ROOT(T)                                                                                        \
	{ "root", OPTION_TEXT, offsetof(T, root), "DIR", "the file system of a host that does not run, below DIR", \
	  NULL, COMPLETE_FILE, 0 }

#endif
