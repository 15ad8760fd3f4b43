/* File systems in memory that no swap gets to see. */
#ifndef LIB_GUEST_RAMFS_H
#define LIB_GUEST_RAMFS_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * A ramfs that is mounted nowhere yet (fsopen(2), fsmount(2): Linux 5.2); move_mount(2) does it. label: of all files in
 * it where SELinux is on, or NULL. The caller closes.
 */
int ramfs_new(mode_t mode, const char *label, int *ret, struct error *e);

/* Is a file system in memory mounted right there? */
bool ramfs_is_mounted(const char *path);

#endif
