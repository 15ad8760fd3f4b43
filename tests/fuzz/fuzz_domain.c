/* A domain's XML, as libvirt hands out what its clients have defined: everything that reads a disk out of it. */
#include "base/cleanup.h"
#include "lib/guest/boot.h"
#include "lib/guest/bus.h"
#include "lib/guest/disk.h"
#include "lib/guest/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int need(void *ctx, const char *secret, const char *device)
{
	int *n = ctx;
	/* One of both. */
	if (!secret == !device)
		abort();
	return ++*n > 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTOFREE char *xml = strndup((const char *)data, size);
	char alias[32];
	int n = 0;
	if (!xml)
		return 0;
	if (guest_disk_alias(xml, "vda", alias, sizeof(alias), NULL) == 0 && strlen(alias) >= sizeof(alias))
		abort();
	AUTOFREE char *disk = guest_disk_extract(xml, "vda");
	AUTOFREE char *moved = guest_disk_moved(xml, "vda", "/a.qcow2", "/b.qcow2");
	if (moved && strstr(moved, "/b.qcow2") == NULL)
		abort();
	guest_disk_needs(xml, need, &n, NULL);
	guest_disk_mentions(xml, "/a.qcow2", false);
	guest_disk_mentions(xml, "/a.qcow2", true);
	guest_target_taken(xml, "vda");
	guest_boot_in_os(xml);
	AUTOFREE char *inserted = guest_boot_insert(xml, "<disk type='file'><target dev='vdz'/></disk>", 1, NULL);
	return 0;
}
