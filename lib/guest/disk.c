#include "lib/guest/disk.h"

#include "lib/guest/lazy.h"
#include "lib/guest/secret.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static xmlNodePtr child(xmlNodePtr parent, const char *name)
{
	return xmlNewChild(parent, NULL, BAD_CAST name, NULL);
}

static void prop(xmlNodePtr node, const char *name, const char *value)
{
	if (node)
		xmlNewProp(node, BAD_CAST name, BAD_CAST value);
}

static void write_source(xmlNodePtr parent, const struct guest_layer *layer)
{
	xmlNodePtr source = child(parent, "source");
	prop(source, layer->block ? "dev" : "file", layer->path);
	if (!layer->encrypted)
		return;
	char uuid[37];
	uuid_unparse_lower(layer->secret, uuid);
	xmlNodePtr encryption = child(source, "encryption");
	prop(encryption, "format", "luks");
	/* libvirt 9 forgets it otherwise at a live snapshot, and then does not start the guest again. */
	prop(encryption, "engine", "qemu");
	xmlNodePtr secret = child(encryption, "secret");
	prop(secret, "type", "passphrase");
	prop(secret, "uuid", uuid);
}

/*
 * The whole chain down to an empty <backingStore/>: with a part of it missing, libvirt 9 would
 * probe the images and then refuse the start for want of an encryption engine.
 */
static void write_backing(xmlNodePtr parent, const struct guest_disk *disk, size_t i)
{
	xmlNodePtr store = child(parent, "backingStore");
	if (i >= disk->n_layers)
		return;
	prop(store, "type", disk->layers[i].block ? "block" : "file");
	prop(child(store, "format"), "type", disk->layers[i].format);
	write_source(store, &disk->layers[i]);
	write_backing(store, disk, i + 1);
}

char *guest_disk_xml(const struct guest_disk *disk)
{
	xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
	xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "disk") : NULL;
	xmlDocSetRootElement(doc, root);
	prop(root, "type", disk->layers[0].block ? "block" : "file");
	prop(root, "device", "disk");
	/*
	 * A snapshot by default would put plaintext above the disk, or end QEMU; one that names the disk works all
	 * the same.
	 */
	prop(root, "snapshot", "no");
	xmlNodePtr driver = child(root, "driver");
	prop(driver, "name", "qemu");
	prop(driver, "type", disk->layers[0].format);
	write_source(root, &disk->layers[0]);
	write_backing(root, disk, 1);
	xmlNodePtr target = child(root, "target");
	prop(target, "dev", disk->target);
	prop(target, "bus", disk->bus);
	if (disk->readonly)
		child(root, "readonly");
	if (disk->boot_order) {
		char order[16];
		snprintf(order, sizeof(order), "%u", disk->boot_order);
		prop(child(root, "boot"), "order", order);
	}
	char *copy = guest_xml_dump(doc, root, 1);
	xmlFreeDoc(doc);
	return copy;
}

int guest_domain_xml(virDomainPtr d, struct guest_domain_xml *ret, struct error *e)
{
	struct guest_domain_xml x = { 0 };
	int active = virDomainIsActive(d), persistent = virDomainIsPersistent(d);
	if (active < 0 || persistent < 0)
		return guest_error(e, "cannot ask for the state of domain %s", virDomainGetName(d));
	if (active && !(x.live = virDomainGetXMLDesc(d, 0)))
		return guest_error(e, "cannot read domain %s", virDomainGetName(d));
	if (persistent && !(x.config = virDomainGetXMLDesc(d, VIR_DOMAIN_XML_INACTIVE))) {
		free(x.live);
		return guest_error(e, "cannot read the configuration of domain %s", virDomainGetName(d));
	}
	x.acpi = strstr(x.live ? x.live : x.config ? x.config : "", "<acpi/>") != NULL;
	*ret = x;
	return 0;
}

void guest_domain_xml_clear(struct guest_domain_xml *x)
{
	free(x->live);
	free(x->config);
	*x = (struct guest_domain_xml){ 0 };
}

/* ---- reading ---- */

int guest_disk_alias(const char *xml, const char *target, char *ret, size_t len, struct error *e)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	int r = guest_xml_find(&q, xml, "/domain/devices/disk", e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < guest_xml_count(&q); i++) {
		xmlNodePtr disk = guest_xml_node(&q, i);
		if (!guest_xml_is(guest_xml_child(disk, "target"), "dev", target))
			continue;
		guest_xml_copy(guest_xml_child(disk, "alias"), "name", ret, len);
		return lazy_xml_memory(e);
	}
	return error_set(e, ERROR_NOT_FOUND, ENOENT, "the domain has no disk %s", target);
}

static xmlNodePtr find_target(const struct guest_xml *q, const char *target)
{
	for (size_t i = 0; i < guest_xml_count(q); i++)
		if (guest_xml_is(guest_xml_child(guest_xml_node(q, i), "target"), "dev", target))
			return guest_xml_node(q, i);
	return NULL;
}

char *guest_disk_extract(const char *xml, const char *target)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	if (!xml || guest_xml_find(&q, xml, "/domain/devices/disk", NULL) < 0)
		return NULL;
	xmlNodePtr disk = find_target(&q, target);
	return disk ? guest_xml_dump(q.doc, disk, 0) : NULL;
}

char *guest_disk_moved(const char *xml, const char *target, const char *from, const char *to)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	if (!xml || guest_xml_find(&q, xml, "/domain/devices/disk", NULL) < 0)
		return NULL;
	xmlNodePtr disk = find_target(&q, target), source = guest_xml_child(disk, "source");
	if (!guest_xml_is(source, "file", from))
		return NULL;
	xmlSetProp(source, BAD_CAST "file", BAD_CAST to);
	return guest_xml_dump(q.doc, disk, 0);
}

bool guest_disk_mentions(const char *xml, const char *path, bool mirror)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	const char *where = mirror ? "/domain/devices/disk/mirror//source" : "/domain/devices/disk/source";
	if (!xml || guest_xml_find(&q, xml, where, NULL) < 0)
		return false;
	for (size_t i = 0; i < guest_xml_count(&q); i++)
		if (guest_xml_is(guest_xml_node(&q, i), "file", path))
			return true;
	return false;
}

/* The UUID of a secret that is named by it, or of ours by its usage. */
static bool secret_named(xmlNodePtr attribute, const char *text, char *ret)
{
	uuid_t uuid;
	if (!strcmp((const char *)attribute->name, "uuid")) {
		snprintf(ret, 37, "%s", text);
		return true;
	}
	if (strncmp(text, GUEST_SECRET_USAGE, strlen(GUEST_SECRET_USAGE)) != 0 ||
	    uuid_parse(text + strlen(GUEST_SECRET_USAGE), uuid) < 0)
		return false;
	guest_secret_uuid(uuid, uuid);
	uuid_unparse_lower(uuid, ret);
	return true;
}

int guest_disk_needs(const char *xml, int (*fn)(void *ctx, const char *secret, const char *device), void *ctx,
		     struct error *e)
{
	AUTOGUESTXML struct guest_xml q = { 0 };
	/* The second is what the daemon keeps of a guest that runs. */
#define DISKS "(/domain | /domstatus/domain)/devices/disk"
	int r = guest_xml_find(&q, xml, DISKS "//secret/@uuid | " DISKS "//secret/@usage | " DISKS "//source/@dev", e);
	for (size_t i = 0; r == 0 && i < guest_xml_count(&q); i++) {
		xmlNodePtr n = guest_xml_node(&q, i);
		/* An attribute's text is its child. */
		const char *text = n->children && n->children->content ? (const char *)n->children->content : "";
		char secret[37];
		if (!strcmp((const char *)n->name, "dev"))
			r = fn(ctx, NULL, text);
		else if (secret_named(n, text, secret))
			r = fn(ctx, secret, NULL);
	}
	return r;
}
