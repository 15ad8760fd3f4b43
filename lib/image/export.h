/*
 * An image as a block device of the host without device-mapper: qemu-storage-daemon serves it over
 * FUSE (a file with the plain contents) or NBD (a UNIX socket).
 */
#ifndef LIB_IMAGE_EXPORT_H
#define LIB_IMAGE_EXPORT_H

#include "lib/image/node.h"

#include <sys/types.h>

enum export_type {
	EXPORT_FUSE,	/* target: an existing regular file, over which the contents are mounted */
	EXPORT_NBD,	/* target: path of the socket to make */
};

/* A process, so that it cannot be mistaken for another one that got its number later. */
struct export_process {
	pid_t pid;
	unsigned long long start;	/* clock ticks since boot, proc(5) "starttime" */
};

/*
 * Starts the daemon and comes back when the export is there. It holds QEMU's image locks and, in
 * its memory, the passphrase; the descriptor it came by is closed. ERROR_BUSY if another process
 * has the image.
 */
int image_export_start(const struct image_layer *layers, size_t n, enum export_type type, const char *target,
		       bool writable, struct export_process *ret, struct error *e);

bool image_export_alive(const struct export_process *p);

/* Ends it cleanly (SIGTERM: it syncs, unmounts, removes its socket) and waits. ERROR_BUSY if it does
 * not end within 20 s. */
int image_export_stop(const struct export_process *p, struct error *e);

#endif
