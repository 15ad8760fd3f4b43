#include "lib/guest/disk.h"

#include "lib/guest/lazy.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <stdio.h>
#include <string.h>

/* The text of a node; NULL when out of memory, also while the node was built. */
static char *dump(xmlDocPtr doc, xmlNodePtr node, int format)
{
	xmlBufferPtr buf = xmlBufferCreate();
	if (!buf)
		return NULL;
	int len = node ? xmlNodeDump(buf, doc, node, 0, format) : -1;
	char *copy = len >= 0 && lazy_xml_memory(NULL) == 0 ? strdup((const char *)xmlBufferContent(buf)) : NULL;
	xmlBufferFree(buf);
	return copy;
}

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
	char *copy = dump(doc, root, 1);
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

struct query {
	xmlDocPtr doc;
	xmlXPathContextPtr ctx;
	xmlXPathObjectPtr result;
};

static void query_clear(struct query *q)
{
	if (q->result)
		xmlXPathFreeObject(q->result);
	if (q->ctx)
		xmlXPathFreeContext(q->ctx);
	if (q->doc)
		xmlFreeDoc(q->doc);
}

/* Nodes of an XPath expression without any foreign text in it. */
static int query_run(struct query *q, const char *xml, const char *expression, struct error *e)
{
	q->doc = xmlReadDoc(BAD_CAST xml, "domain.xml", NULL,
			    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	q->ctx = q->doc ? xmlXPathNewContext(q->doc) : NULL;
	q->result = q->ctx ? xmlXPathEvalExpression(BAD_CAST expression, q->ctx) : NULL;
	if (!q->result && lazy_xml_memory(e) < 0)
		return -ENOMEM;
	if (!q->result)
		return error_set(e, ERROR_LIBVIRT, EINVAL, "libvirt's domain XML cannot be read");
	return 0;
}

static size_t query_count(const struct query *q)
{
	return q->result->nodesetval ? (size_t)q->result->nodesetval->nodeNr : 0;
}

static xmlNodePtr query_node(const struct query *q, size_t i)
{
	return q->result->nodesetval->nodeTab[i];
}

static xmlNodePtr find_child(xmlNodePtr node, const char *name)
{
	for (xmlNodePtr c = node ? node->children : NULL; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !strcmp((const char *)c->name, name))
			return c;
	return NULL;
}

static bool prop_is(xmlNodePtr node, const char *name, const char *value)
{
	xmlChar *text = node ? xmlGetProp(node, BAD_CAST name) : NULL;
	bool same = text && !strcmp((const char *)text, value);
	lazy_xml_free(text);
	return same;
}

static void copy_prop(xmlNodePtr node, const char *name, char *buf, size_t len)
{
	xmlChar *text = node ? xmlGetProp(node, BAD_CAST name) : NULL;
	snprintf(buf, len, "%s", text ? (const char *)text : "");
	lazy_xml_free(text);
}

int guest_disk_alias(const char *xml, const char *target, char *ret, size_t len, struct error *e)
{
	CLEANUP(query_clear) struct query q = { 0 };
	int r = query_run(&q, xml, "/domain/devices/disk", e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < query_count(&q); i++) {
		xmlNodePtr disk = query_node(&q, i);
		if (!prop_is(find_child(disk, "target"), "dev", target))
			continue;
		copy_prop(find_child(disk, "alias"), "name", ret, len);
		return lazy_xml_memory(e);
	}
	return error_set(e, ERROR_NOT_FOUND, ENOENT, "the domain has no disk %s", target);
}

int guest_disk_find(const char *xml, const char *path, const uuid_t secret, struct guest_use *ret,
		    struct error *e)
{
	CLEANUP(query_clear) struct query q = { 0 };
	struct guest_use use = { 0 };
	char uuid[37];
	if (!xml) {
		*ret = use;
		return 0;
	}
	uuid_unparse_lower(secret, uuid);
	int r = query_run(&q, xml, "/domain/devices/disk", e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < query_count(&q) && !use.found; i++) {
		xmlNodePtr disk = query_node(&q, i), source = find_child(disk, "source");
		/* libvirt takes <encryption> below <source> and, from old configurations, below <disk>. */
		xmlNodePtr encryption = find_child(source, "encryption");
		if (!encryption)
			encryption = find_child(disk, "encryption");
		/* After a copy under a running guest the path is another, the secret is not. */
		if (!prop_is(source, "file", path) && !prop_is(source, "dev", path) &&
		    !prop_is(find_child(encryption, "secret"), "uuid", uuid))
			continue;
		use.found = true;
		use.encrypted = encryption != NULL;
		use.our_secret = prop_is(find_child(encryption, "secret"), "uuid", uuid);
		copy_prop(find_child(disk, "target"), "dev", use.target, sizeof(use.target));
		copy_prop(find_child(disk, "target"), "bus", use.bus, sizeof(use.bus));
	}
	r = lazy_xml_memory(e);
	if (r < 0)
		return r;
	*ret = use;
	return 0;
}

bool guest_target_taken(const char *xml, const char *target)
{
	CLEANUP(query_clear) struct query q = { 0 };
	if (!xml || query_run(&q, xml, "/domain/devices/disk/target", NULL) < 0)
		return false;
	for (size_t i = 0; i < query_count(&q); i++)
		if (prop_is(query_node(&q, i), "dev", target))
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

static xmlNodePtr find_target(const struct query *q, const char *target)
{
	for (size_t i = 0; i < query_count(q); i++)
		if (prop_is(find_child(query_node(q, i), "target"), "dev", target))
			return query_node(q, i);
	return NULL;
}

char *guest_disk_extract(const char *xml, const char *target)
{
	CLEANUP(query_clear) struct query q = { 0 };
	if (!xml || query_run(&q, xml, "/domain/devices/disk", NULL) < 0)
		return NULL;
	xmlNodePtr disk = find_target(&q, target);
	return disk ? dump(q.doc, disk, 0) : NULL;
}

char *guest_disk_moved(const char *xml, const char *target, const char *from, const char *to)
{
	CLEANUP(query_clear) struct query q = { 0 };
	if (!xml || query_run(&q, xml, "/domain/devices/disk", NULL) < 0)
		return NULL;
	xmlNodePtr disk = find_target(&q, target), source = find_child(disk, "source");
	if (!prop_is(source, "file", from))
		return NULL;
	xmlSetProp(source, BAD_CAST "file", BAD_CAST to);
	return dump(q.doc, disk, 0);
}

bool guest_disk_mentions(const char *xml, const char *path, bool mirror)
{
	CLEANUP(query_clear) struct query q = { 0 };
	const char *where = mirror ? "/domain/devices/disk/mirror//source" : "/domain/devices/disk/source";
	if (!xml || query_run(&q, xml, where, NULL) < 0)
		return false;
	for (size_t i = 0; i < query_count(&q); i++)
		if (prop_is(query_node(&q, i), "file", path))
			return true;
	return false;
}

int guest_disk_needs(const char *xml, int (*fn)(void *ctx, const char *secret, const char *device), void *ctx,
		     struct error *e)
{
	CLEANUP(query_clear) struct query q = { 0 };
	int r = query_run(&q, xml, "/domain/devices/disk//secret/@uuid | /domain/devices/disk//source/@dev", e);
	for (size_t i = 0; r == 0 && i < query_count(&q); i++) {
		xmlNodePtr n = query_node(&q, i);
		/* An attribute's text is its child. */
		const char *text = n->children && n->children->content ? (const char *)n->children->content : "";
		bool secret = !strcmp((const char *)n->name, "uuid");
		r = fn(ctx, secret ? text : NULL, secret ? NULL : text);
	}
	return r;
}

/* Any <source> or <secret> of a disk, its backing chain and its mirror included. */
static bool mentions(const char *xml, const char *path, const char *secret)
{
	CLEANUP(query_clear) struct query q = { 0 };
	if (!xml || query_run(&q, xml, "/domain/devices/disk//source | /domain/devices/disk//secret", NULL) < 0)
		return false;
	for (size_t i = 0; i < query_count(&q); i++) {
		xmlNodePtr n = query_node(&q, i);
		if ((path && (prop_is(n, "file", path) || prop_is(n, "dev", path))) || prop_is(n, "uuid", secret))
			return true;
	}
	return false;
}

int guest_find_user(struct guest_connection *g, const char *path, const uuid_t secret,
		    virDomainPtr except, char **ret_name, struct error *e)
{
	virDomainPtr *domains = NULL;
	char uuid[37], *name = NULL;
	int r = 0;
	uuid_unparse_lower(secret, uuid);
	int n = virConnectListAllDomains(g->conn, &domains, 0);
	if (n < 0)
		return guest_error(e, "cannot list the domains");
	for (int i = 0; i < n && !name && r == 0; i++) {
		struct guest_domain_xml x = { 0 };
		struct error why = { 0 };
		if (except && !strcmp(virDomainGetName(domains[i]), virDomainGetName(except)))
			continue;
		/* A domain that goes away while we look is no user; one that cannot be asked may be. */
		if (guest_domain_xml(domains[i], &x, &why) < 0) {
			if (why.kind != ERROR_NOT_FOUND) {
				*e = why;
				r = -why.err;
			}
			continue;
		}
		if ((mentions(x.live, path, uuid) || mentions(x.config, path, uuid)) &&
		    !(name = strdup(virDomainGetName(domains[i]))))
			r = error_oom(e);
		guest_domain_xml_clear(&x);
	}
	if (r == 0)
		r = lazy_xml_memory(e);
	for (int i = 0; i < n; i++)
		virDomainFree(domains[i]);
	free(domains);
	if (r < 0)
		free(TAKE_PTR(name));
	*ret_name = name;
	return r;
}
