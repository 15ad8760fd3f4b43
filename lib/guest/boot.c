#include "lib/guest/boot.h"

#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BOOT_MAX 16

static bool is_named(xmlNodePtr n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name);
}

bool guest_boot_in_os(const char *xml)
{
	xmlDocPtr doc = guest_xml_parse(xml);
	bool yes = doc && guest_xml_child(guest_xml_child(xmlDocGetRootElement(doc), "os"), "boot");
	xmlFreeDoc(doc);
	return yes;
}

/* The device that <boot dev='hd|cdrom|fd|network'/> means: the first of its kind. */
static xmlNodePtr device_meant(xmlNodePtr devices, const char *dev)
{
	static const struct {
		const char *dev, *element, *device;
	} kinds[] = {
		{ "hd", "disk", "disk" },
		{ "cdrom", "disk", "cdrom" },
		{ "fd", "disk", "floppy" },
		{ "network", "interface", NULL },
	};
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		if (strcmp(kinds[k].dev, dev) != 0)
			continue;
		for (xmlNodePtr n = devices->children; n; n = n->next) {
			if (!is_named(n, kinds[k].element))
				continue;
			char device[16];
			guest_xml_copy(n, "device", device, sizeof(device));
			if (!kinds[k].device || !strcmp(device[0] ? device : "disk", kinds[k].device))
				return n;
		}
	}
	return NULL;
}

static size_t take_os_boot(xmlNodePtr os, xmlNodePtr devices, xmlNodePtr *list)
{
	size_t n = 0;
	for (xmlNodePtr c = os ? os->children : NULL, next; c; c = next) {
		next = c->next;
		if (!is_named(c, "boot"))
			continue;
		xmlChar *dev = xmlGetProp(c, BAD_CAST "dev");
		xmlNodePtr device = dev ? device_meant(devices, (char *)dev) : NULL;
		if (device && n < BOOT_MAX)
			list[n++] = device;
		lazy_xml_free(dev);
		xmlUnlinkNode(c);
		xmlFreeNode(c);
	}
	return n;
}

char *guest_boot_insert(const char *xml, const char *disk_xml, unsigned order, struct error *e)
{
	xmlDocPtr doc = guest_xml_parse(xml), disk_doc = guest_xml_parse(disk_xml);
	xmlNodePtr root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlNodePtr devices = guest_xml_child(root, "devices");
	xmlNodePtr list[BOOT_MAX + 1];
	char *copy = NULL;
	if (devices && disk_doc) {
		size_t n = take_os_boot(guest_xml_child(root, "os"), devices, list);
		size_t at = order - 1 < n ? order - 1 : n;
		memmove(list + at + 1, list + at, (n - at) * sizeof(*list));
		list[at] = xmlAddChild(devices, xmlDocCopyNode(xmlDocGetRootElement(disk_doc), doc, 1));
		for (size_t i = 0; i <= n; i++) {
			char number[16];
			snprintf(number, sizeof(number), "%zu", i + 1);
			xmlNodePtr boot = list[i] ? xmlNewChild(list[i], NULL, BAD_CAST "boot", NULL) : NULL;
			if (boot)
				xmlNewProp(boot, BAD_CAST "order", BAD_CAST number);
		}
		copy = guest_xml_dump_all(doc);
	}
	xmlFreeDoc(doc);
	xmlFreeDoc(disk_doc);
	if (!copy && lazy_xml_memory(e) == 0)
		error_set(e, ERROR_LIBVIRT, EINVAL, "libvirt's domain XML cannot be read");
	return copy;
}
