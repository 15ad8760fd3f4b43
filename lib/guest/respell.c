#include "lib/guest/respell.h"

#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct respell {
	const struct guest_image *images;
	size_t n;
	bool changed;
};

static void set(struct respell *s, xmlNodePtr node, const char *name, const char *value)
{
	if (guest_xml_is(node, name, value))
		return;
	xmlSetProp(node, BAD_CAST name, BAD_CAST value);
	s->changed = true;
}

/* Instead of whatever secrets are there. */
static void set_secret(struct respell *s, xmlNodePtr encryption, const uuid_t secret)
{
	char uuid[37];
	uuid_unparse_lower(secret, uuid);
	xmlNodePtr first = guest_xml_child(encryption, "secret");
	if (guest_xml_is(first, "uuid", uuid))
		return;
	for (xmlNodePtr c = first; c; c = guest_xml_child(encryption, "secret")) {
		xmlUnlinkNode(c);
		xmlFreeNode(c);
	}
	xmlNodePtr fresh = xmlNewChild(encryption, NULL, BAD_CAST "secret", NULL);
	set(s, fresh, "type", "passphrase");
	set(s, fresh, "uuid", uuid);
}

static int respell_source(struct respell *s, xmlNodePtr source, xmlNodePtr encryption, struct error *e)
{
	int r = 0;
	if (!encryption)
		return 0;
	set(s, encryption, "engine", "qemu");
	for (size_t i = 0; i < s->n && r == 0; i++) {
		enum guest_match m = GUEST_MATCH_NONE;
		r = guest_image_match(&s->images[i], source, encryption, &m, e);
		if (r == 0 && m != GUEST_MATCH_NONE) {
			set_secret(s, encryption, s->images[i].secret);
			break;
		}
	}
	return r;
}

/* A disk or a <backingStore>, and what is below it. */
static int respell_chain(struct respell *s, xmlNodePtr at, struct error *e)
{
	int r = 0;
	for (; at && r == 0; at = guest_xml_child(at, "backingStore")) {
		xmlNodePtr source = guest_xml_child(at, "source"), encryption = guest_xml_child(source, "encryption");
		if (!encryption)
			encryption = guest_xml_child(at, "encryption");
		r = source ? respell_source(s, source, encryption, e) : 0;
	}
	return r;
}

int guest_disk_respell(const char *xml, const char *target, const struct guest_image *images, size_t n, char **ret,
		       struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	struct respell s = { .images = images, .n = n };
	int r = guest_xml_find(&x, xml, "/domain/devices/disk", e);
	for (size_t i = 0; i < guest_xml_count(&x) && r == 0; i++) {
		xmlNodePtr disk = guest_xml_node(&x, i);
		if (!guest_xml_is(guest_xml_child(disk, "target"), "dev", target))
			continue;
		set(&s, disk, "snapshot", "no");
		r = respell_chain(&s, disk, e);
		if (r < 0)
			return r;
		*ret = s.changed ? guest_xml_dump(x.doc, disk, 0) : NULL;
		return s.changed && !*ret ? error_oom(e) : lazy_xml_memory(e);
	}
	return r < 0 ? r : error_set(e, ERROR_NOT_FOUND, ENOENT, "the domain has no disk %s", target);
}
