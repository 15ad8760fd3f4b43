#include "lib/guest/bus.h"

#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

bool guest_target_taken(const char *xml, const char *target)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	if (!xml || guest_xml_find(&q, xml, "/domain/devices/disk/target", NULL) < 0)
		return false;
	for (size_t i = 0; i < guest_xml_count(&q); i++)
		if (guest_xml_is(guest_xml_node(&q, i), "dev", target))
			return true;
	return false;
}

static const struct {
	const char *bus, *prefix;
} buses[] = {
	{ "virtio", "vd" }, { "scsi", "sd" }, { "sata", "sd" }, { "usb", "sd" }, { "ide", "hd" },
};

int guest_target_next(const struct guest_domain_xml *x, const char *bus, char *ret, size_t len,
		      struct error *e)
{
	const char *prefix = NULL;
	for (size_t i = 0; i < ARRAY_LEN(buses); i++)
		if (!strcmp(buses[i].bus, bus))
			prefix = buses[i].prefix;
	if (!prefix)
		return error_set(e, ERROR_USAGE, EINVAL, "bus '%s' is not known; give --target too", bus);
	/* vda … vdz, vdaa … vdzz */
	for (int i = 0; i < 26 * 27; i++) {
		if (i < 26)
			snprintf(ret, len, "%s%c", prefix, 'a' + i);
		else
			snprintf(ret, len, "%s%c%c", prefix, 'a' + i / 26 - 1, 'a' + i % 26);
		if (!guest_target_taken(x->live, ret) && !guest_target_taken(x->config, ret))
			return lazy_xml_memory(e);
	}
	return error_set(e, ERROR_FAILED, ENOSPC, "the domain has no free disk name on bus %s", bus);
}

const char *guest_bus_of_target(const char *target)
{
	for (size_t i = 0; i < ARRAY_LEN(buses); i++)
		if (!strncmp(target, buses[i].prefix, 2) && target[2])
			return buses[i].bus;
	return NULL;
}

/* ---- what the machine has ---- */

static void first_text(const char *xml, const char *expression, char *buf, size_t len)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	bool any = guest_xml_find(&x, xml, expression, NULL) == 0 && guest_xml_count(&x);
	const xmlChar *text = any && guest_xml_node(&x, 0)->children ? guest_xml_node(&x, 0)->children->content : NULL;
	snprintf(buf, len, "%s", text ? (const char *)text : "");
}

/* QEMU's IDE and AHCI take disks only while the machine is off. */
static int check_plug(const char *bus, struct error *e)
{
	if (strcmp(bus, "ide") != 0 && strcmp(bus, "sata") != 0)
		return 0;
	return error_set(e, ERROR_USAGE, EINVAL,
			 "a running guest takes no new disk on its %s bus: use --bus virtio, scsi or usb, or --config",
			 bus);
}

int guest_bus_check(virDomainPtr d, const struct guest_domain_xml *x, const char *bus, bool live, struct error *e)
{
	AUTOGUESTXML struct guest_xml caps = { 0 };
	const char *xml = x->config ? x->config : x->live;
	char arch[32], machine[64], type[16], emulator[512];
	int r = live ? check_plug(bus, e) : 0;
	if (r < 0)
		return r;
	first_text(xml, "/domain/@type", type, sizeof(type));
	first_text(xml, "/domain/os/type/@arch", arch, sizeof(arch));
	first_text(xml, "/domain/os/type/@machine", machine, sizeof(machine));
	first_text(xml, "/domain/devices/emulator", emulator, sizeof(emulator));
	AUTOFREE char *text = virConnectGetDomainCapabilities(virDomainGetConnect(d), emulator[0] ? emulator : NULL,
							      arch, machine, type, 0);
	if (!text && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT)
		return 0;
	if (!text)
		return guest_error(e, "cannot ask which buses a machine of type %s has", machine);
	r = guest_xml_find(&caps, text, "/domainCapabilities/devices/disk/enum[@name='bus']/value", e);
	for (size_t i = 0; r == 0 && i < guest_xml_count(&caps); i++) {
		xmlNodePtr value = guest_xml_node(&caps, i)->children;
		if (value && value->content && !strcmp((const char *)value->content, bus))
			return 0;
	}
	if (r < 0 || !guest_xml_count(&caps))
		return r;
	return error_set(e, ERROR_USAGE, EINVAL,
			 "the machine of domain %s (%s) has no %s bus for disks: use another --bus",
			 virDomainGetName(d), machine, bus);
}

const char *guest_bus_advice(const struct error *why)
{
	return strstr(why->message, "No more available PCI slots") ? "; detach another device, or take --bus usb, or "
								     "--bus scsi if the guest has such a controller, "
								     "or "
								     "--config: at its next start the machine gets a "
								     "port more"
								   : "";
}
