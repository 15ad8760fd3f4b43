/* On what a file lies: is what is written there readable for whoever has the disk? */
#ifndef LIB_POSTURE_HOST_STORAGE_H
#define LIB_POSTURE_HOST_STORAGE_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum storage {
	STORAGE_PLAIN,	   /* a disk, or something that cannot be told */
	STORAGE_MEMORY,	   /* tmpfs that may be swapped, and ramfs */
	STORAGE_ENCRYPTED, /* dm-crypt right below the file system, or the device itself */
};

/* Of the file system that holds path (ERROR_NOT_FOUND), or of the block device that path is. */
int storage_of(const char *path, enum storage *ret, struct error *e);

/* Is this block device a mapping of dm-crypt? One below another mapping (LVM) is found, too. */
bool storage_device_is_encrypted(dev_t device);

#endif
