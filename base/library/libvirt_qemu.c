/* libvirt's library for QEMU's monitor: what this program calls of it. */
#include "base/library/define.h"

#include <libvirt/libvirt-qemu.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, virDomainQemuMonitorCommand, 4, virDomainPtr, const char *, char **, unsigned int)

LIBRARY(libvirt_qemu_load, "libvirt", "libvirt0", ERROR_LIBVIRT, FUNCTIONS, NULL, "libvirt-qemu.so.0")
LIBRARY_NOTE("libvirt", "Guests", "recommended", "\"libvirt-qemu.so.0\"")
