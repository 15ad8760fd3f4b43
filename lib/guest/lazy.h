/*
 * libvirt and libxml2 for this room: loaded when the first connection is opened (base/library/library.h), and what is
 * to know of libxml2's memory.
 */
#ifndef LIB_GUEST_LAZY_H
#define LIB_GUEST_LAZY_H

#include "base/error.h"

#include <libvirt/libvirt.h>

/* Loads both. ERROR_LIBVIRT when one is not installed. No function of theirs is called before; guest_connect() is
 * the one that calls this. */
int lazy_load(struct error *e);

/*
 * virDomainQemuMonitorCommand(), which lives in a library of its own that is loaded here, too. *ret:
 * QEMU's answer, the caller frees.
 */
int lazy_qemu_command(virDomainPtr d, const char *command, char **ret, struct error *e);

/*
 * 0, or ERROR_FAILED/ENOMEM once libxml2 has run out of memory, from then on for good: its functions
 * then leave out a part and say nothing, so no XML that was read or written since can be relied on.
 */
int lazy_xml_memory(struct error *e);

/* xmlFree(), which is a variable of libxml2's and not a function. NULL is fine. */
void lazy_xml_free(void *p);

#endif
