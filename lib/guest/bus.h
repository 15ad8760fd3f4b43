/* The buses and names of disks, and what a machine has of them. */
#ifndef LIB_GUEST_BUS_H
#define LIB_GUEST_BUS_H

#include "lib/guest/disk.h"

/* Is a target name taken in it? */
bool guest_target_taken(const char *xml, const char *target);
/* First free name on a bus ("virtio" → vda, vdb …) in both XMLs. ERROR_FAILED if there is none. */
int guest_target_next(const struct guest_domain_xml *x, const char *bus, char *ret, size_t len,
		      struct error *e);
/* The bus that a target's name stands for ("sdb" → "scsi"), or NULL. */
const char *guest_bus_of_target(const char *target);

/*
 * ERROR_USAGE when the domain's machine has no such bus (libvirt takes the disk, and then the guest does not start),
 * or, live, when the bus takes no disk while the guest runs.
 */
int guest_bus_check(virDomainPtr d, const struct guest_domain_xml *x, const char *bus, bool live, struct error *e);

/* What to do about libvirt's refusal of a disk, to be put behind it; "" if there is nothing to say. */
const char *guest_bus_advice(const struct error *why);

#endif
