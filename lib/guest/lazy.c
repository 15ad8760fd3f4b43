#include "lib/guest/lazy.h"

#include "base/library/library.h"
#include "lib/guest/connection.h"
#include "lib/guest/wait.h"

#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <libxml/xmlmemory.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool out_of_memory;

static void *noted(void *p)
{
	out_of_memory |= !p;
	return p;
}

static void *xml_malloc(size_t n)
{
	return noted(malloc(n));
}

static void *xml_realloc(void *p, size_t n)
{
	return noted(realloc(p, n));
}

static char *xml_strdup(const char *s)
{
	return noted(strdup(s));
}

int lazy_xml_memory(struct error *e)
{
	return out_of_memory ? error_oom(e) : 0;
}

int lazy_load(struct error *e)
{
	static bool loaded;
	if (loaded)
		return 0;
	libvirt_around(guest_wait_begin, guest_wait_end);
	int r = libvirt_load(e);
	if (r == 0)
		r = libxml_load(e);
	if (r == 0 && xmlMemSetup(free, xml_malloc, xml_realloc, xml_strdup) < 0)
		r = error_set(e, ERROR_FAILED, ENOSYS, "libxml2 does not take our allocator");
	loaded = r == 0;
	return r;
}

/* xmlMemSetup() made it this. */
void lazy_xml_free(void *p)
{
	free(p);
}

int lazy_qemu_command(virDomainPtr d, const char *command, char **ret, struct error *e)
{
	int r = libvirt_qemu_load(e);
	if (r < 0)
		return r;
	if (virDomainQemuMonitorCommand(d, command, ret, 0) < 0)
		return guest_error(e, "cannot reach QEMU's monitor of domain %s", virDomainGetName(d));
	return 0;
}
