#include "lib/guest/relocate.h"

#include "lib/guest/disk.h"
#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
	const struct guest_relocate *p;
	const char *domain;
	char top[4352];		/* of the disk */
	bool changed;		/* something in the disk was */
};

static void source_path(xmlNodePtr source, char *buf, size_t len)
{
	guest_xml_copy(source, "file", buf, len);
	if (!buf[0])
		guest_xml_copy(source, "dev", buf, len);
}

/* <source> and the type of what it is in: a disk or a <backingStore>. */
static void set_source(const struct guest_relocate *p, xmlNodePtr parent, xmlNodePtr source)
{
	static const char *const others[] = { "file", "dev", "pool", "volume", "mode" };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		xmlUnsetProp(source, BAD_CAST others[i]);
	xmlSetProp(source, BAD_CAST(p->block ? "dev" : "file"), BAD_CAST p->to);
	xmlSetProp(parent, BAD_CAST "type", BAD_CAST(p->block ? "block" : "file"));
}

/* What has our secret and another name that leads somewhere is somebody's copy, and stays. */
static bool is_meant(enum guest_match m, const char *path)
{
	struct stat st;
	return m == GUEST_MATCH_NAME || (m == GUEST_MATCH_SECRET && path[0] && stat(path, &st) < 0 && errno == ENOENT);
}

/* One element of a disk's chain and those below it. */
static int walk_chain(struct walk *w, xmlNodePtr parent, bool is_top, struct error *e)
{
	xmlNodePtr source = guest_xml_child(parent, "source"), below = guest_xml_child(parent, "backingStore");
	xmlNodePtr encryption = guest_xml_child(source, "encryption");
	enum guest_match m = GUEST_MATCH_NONE;
	char path[4352] = "";
	int r = source ? guest_image_match(w->p->image, source,
					   encryption ? encryption : guest_xml_child(parent, "encryption"), &m, e)
		       : 0;
	if (r < 0)
		return r;
	if (source)
		source_path(source, path, sizeof(path));
	if (is_top)
		memcpy(w->top, path, sizeof(path));
	if (is_meant(m, path)) {
		if (!is_top && w->p->above && (r = w->p->above(w->p->ctx, w->domain, w->top, e)) < 0)
			return r;
		if (strcmp(path, w->p->to) != 0) {
			set_source(w->p, parent, source);
			w->changed = true;
		}
	}
	return below ? walk_chain(w, below, false, e) : 0;
}

static int update(virDomainPtr d, struct guest_xml *x, xmlNodePtr disk, struct error *e)
{
	AUTOFREE char *xml = guest_xml_dump(x->doc, disk, 0);
	if (!xml)
		return error_oom(e);
	if (virDomainUpdateDeviceFlags(d, xml, VIR_DOMAIN_AFFECT_CONFIG) < 0)
		return guest_error(e, "cannot set the file of a disk in the configuration of domain %s",
				   virDomainGetName(d));
	return 0;
}

static int relocate_in(virDomainPtr d, const struct guest_relocate *p, const char *config, size_t *n, struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	int r = guest_xml_find(&x, config, "/domain/devices/disk", e);
	for (size_t i = 0; i < guest_xml_count(&x) && r == 0; i++) {
		struct walk w = { .p = p, .domain = virDomainGetName(d) };
		xmlNodePtr disk = guest_xml_node(&x, i);
		r = walk_chain(&w, disk, true, e);
		if (r == 0 && w.changed) {
			++*n;
			r = p->dry_run ? 0 : update(d, &x, disk, e);
		}
	}
	return r < 0 ? r : lazy_xml_memory(e);
}

static int relocate_domain(virDomainPtr d, const struct guest_relocate *p, size_t *n, struct error *e)
{
	struct guest_domain_xml x = { 0 };
	int r = guest_domain_xml(d, &x, e);
	if (r == 0 && x.config)
		r = relocate_in(d, p, x.config, n, e);
	guest_domain_xml_clear(&x);
	return r;
}

int guest_relocate(const struct guest_relocate *p, size_t *ret_changed, struct error *e)
{
	virDomainPtr *domains = NULL;
	struct error first = { 0 };
	size_t changed = 0;
	int n = virConnectListAllDomains(p->image->g->conn, &domains, 0);
	if (n < 0)
		return guest_error(e, "cannot list the domains");
	for (int i = 0; i < n; i++) {
		struct error why = { 0 };
		/* One that goes away while we look has nothing any more. */
		if (relocate_domain(domains[i], p, &changed, &why) < 0 && !first.kind &&
		    (why.kind != ERROR_NOT_FOUND || why.err == ENOMEM))
			first = why;
		virDomainFree(domains[i]);
	}
	free(domains);
	if (first.kind)
		return error_pass(e, &first);
	*ret_changed = changed;
	return 0;
}
