/* Disks in domain XML (libvirt's formatdomain.html, "Hard drives"): finding, writing, attaching. */
#ifndef LIB_GUEST_DISK_H
#define LIB_GUEST_DISK_H

#include "lib/guest/connection.h"

#include <stdint.h>
#include <uuid/uuid.h>

/* One element of a disk's chain, the top first. */
struct guest_layer {
	const char *path;
	const char *format;	/* "qcow2" or "raw", as libvirt names it */
	bool encrypted;
	bool block;		/* a block device, not a file */
	uuid_t secret;		/* if encrypted */
};

struct guest_disk {
	const struct guest_layer *layers;
	size_t n_layers;
	const char *target;	/* "vdb" */
	const char *bus;	/* "virtio" */
	bool readonly;
	unsigned boot_order;	/* 0: none */
};

/* The <disk> element; caller frees. NULL when out of memory. */
char *guest_disk_xml(const struct guest_disk *disk);

/* Both views of a domain; XML strings are the caller's to free. */
struct guest_domain_xml {
	char *live;	/* NULL if it is not running */
	char *config;	/* NULL if it is transient */
	bool acpi;	/* <features><acpi/>: without it a guest does not see hot-plugged disks */
};
int guest_domain_xml(virDomainPtr d, struct guest_domain_xml *ret, struct error *e);
void guest_domain_xml_clear(struct guest_domain_xml *x);

/* The name that libvirt gave the disk's device in a running domain ("virtio-disk0"). */
int guest_disk_alias(const char *xml, const char *target, char *ret, size_t len, struct error *e);

/* The <disk> with this target as it stands in xml; caller frees. NULL if none, or out of memory. */
char *guest_disk_extract(const char *xml, const char *target);

/* With `to` in the place of its source file `from`; NULL if its source is another. */
char *guest_disk_moved(const char *xml, const char *target, const char *from, const char *to);

/*
 * What the disks in xml, their backing chains included, need before the domain can start, to fn: UUIDs of secrets
 * as text, or names of devices, one of both at a time. A non-zero result of fn stops and is returned.
 */
int guest_disk_needs(const char *xml, int (*fn)(void *ctx, const char *secret, const char *device), void *ctx,
		     struct error *e);

/* Does a disk in xml have path as its source, or, with mirror, as the destination of a running copy? */
bool guest_disk_mentions(const char *xml, const char *path, bool mirror);

#endif
