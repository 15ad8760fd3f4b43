/* What a child may do: fixed between fork and exec, and never given back. */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

enum process_confine {
	PROCESS_OURS = 0,	/* a program that works for us with our rights, systemctl say */
	PROCESS_FOREIGN,	/* it parses what others wrote, or speaks to the network: another user, no capability */
	PROCESS_IMAGES,		/* QEMU's tools: root's files are reached, nothing else */
	PROCESS_EXPORT,		/* and may mount them, by FUSE */
};

/*
 * All but PROCESS_OURS get no new privileges and none of the kernel's calls for keys, other processes, modules, mounts
 * and the like (EPERM). Async-signal-safe; 0 or -errno.
 */
int confine_child(enum process_confine how);

#endif
