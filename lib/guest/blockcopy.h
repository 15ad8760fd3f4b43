/* Copying the disk of a running guest onto another image, and going over to that one. */
#ifndef LIB_GUEST_BLOCKCOPY_H
#define LIB_GUEST_BLOCKCOPY_H

#include "base/progress.h"
#include "lib/guest/disk.h"

/*
 * Starts the copy of disk `disk->target` onto disk->layers[0], an image of the same size that
 * exists; with more layers its backing files stay what they are and only the top is copied.
 */
int guest_copy_start(virDomainPtr d, const struct guest_disk *disk, struct error *e);

/* Waits until both are the same. what: for progress. ERROR_FAILED/ECANCELED when that says so; the job then goes on. */
int guest_copy_wait(virDomainPtr d, const char *target, const char *what, const struct progress *progress,
		    struct error *e);

/* The guest goes over to the copy. */
int guest_copy_pivot(virDomainPtr d, const char *target, struct error *e);

/* Ends a copy under way, the guest keeps its disk. None is fine. */
void guest_copy_abort(virDomainPtr d, const char *target);

/* In the domain's configuration the disk's file `from` becomes `to`; one that has another file stays. */
int guest_copy_rename(virDomainPtr d, const char *target, const char *from, const char *to, struct error *e);

#endif
