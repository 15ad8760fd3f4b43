/*
 * libvirt and libxml2 are loaded when the first connection is opened, not at program start: with the
 * thirty libraries behind them they would cost every command over 10 ms, most of which never talk
 * to libvirt.
 */
#ifndef LIB_GUEST_LAZY_H
#define LIB_GUEST_LAZY_H

#include "base/error.h"

#include <libvirt/libvirt.h>

/* Loads both and finds every function that we use. ERROR_LIBVIRT when one is not installed. No
 * function of theirs may be called before; guest_connect() is the one that calls this. */
int lazy_load(struct error *e);

/*
 * virDomainQemuMonitorCommand(), which lives in a library of its own that is loaded here. *ret:
 * QEMU's answer, the caller frees.
 */
int lazy_qemu_command(virDomainPtr d, const char *command, char **ret, struct error *e);

/*
 * 0, or ERROR_FAILED/ENOMEM once libxml2 has run out of memory, from then on for good: its functions
 * then leave out a part and say nothing, so no XML that was read or written since can be relied on.
 */
int lazy_xml_memory(struct error *e);

/* xmlFree(), which libxml2 has as a variable. NULL is fine. */
void lazy_xml_free(void *p);

#endif
