/* Boot order of disks in a configuration (formatdomain.html, "BIOS bootloader" and "boot order"). */
#ifndef LIB_GUEST_BOOT_H
#define LIB_GUEST_BOOT_H

#include "lib/guest/connection.h"

#include <stdbool.h>

/* Does the configuration name boot devices in <os>? libvirt itself adds <boot dev='hd'/>, and
 * refuses a <boot order> on a device beside it. */
bool guest_boot_in_os(const char *xml);

/*
 * The configuration with the <boot> elements of <os> turned into orders on the devices they mean,
 * in the same sequence, and with the new disk (its XML without <boot>) put at place `order` (1 is
 * first). Caller frees; NULL and *e if the XML cannot be read.
 */
char *guest_boot_insert(const char *xml, const char *disk_xml, unsigned order, struct error *e);

#endif
