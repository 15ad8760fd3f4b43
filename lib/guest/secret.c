#include "lib/guest/secret.h"

#include "base/file.h"

#include "lib/guest/lazy.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

static const char uuid_name[] = "kvmcrypt libvirt secret";

void guest_secret_uuid(const uuid_t volume, uuid_t ret)
{
	uuid_generate_sha1(ret, volume, uuid_name, sizeof(uuid_name) - 1);
}

static void secret_ptr_freep(virSecretPtr *s)
{
	if (*s)
		virSecretFree(*s);
}
#define AUTOSECRETPTR CLEANUP(secret_ptr_freep)

/* <secret> as libvirt's formatsecret.html describes it; the usage names the volume, not its path,
 * so that a moved or replaced file cannot collide with another secret. */
char *guest_secret_xml(const uuid_t volume, const char *path, bool ephemeral)
{
	uuid_t secret;
	guest_secret_uuid(volume, secret);
	char secret_text[37], volume_text[37], usage[64];
	uuid_unparse_lower(secret, secret_text);
	uuid_unparse_lower(volume, volume_text);
	snprintf(usage, sizeof(usage), GUEST_SECRET_USAGE "%s", volume_text);
	xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
	xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "secret") : NULL;
	if (!root) {
		xmlFreeDoc(doc);
		return NULL;
	}
	xmlDocSetRootElement(doc, root);
	xmlNewProp(root, BAD_CAST "ephemeral", BAD_CAST(ephemeral ? "yes" : "no"));
	xmlNewProp(root, BAD_CAST "private", BAD_CAST "yes");
	xmlNewTextChild(root, NULL, BAD_CAST "uuid", BAD_CAST secret_text);
	xmlNewTextChild(root, NULL, BAD_CAST "description", BAD_CAST path);
	xmlNodePtr u = xmlNewChild(root, NULL, BAD_CAST "usage", NULL);
	if (u)
		xmlNewProp(u, BAD_CAST "type", BAD_CAST "volume");
	xmlNewTextChild(u, NULL, BAD_CAST "volume", BAD_CAST usage);
	char *copy = guest_xml_dump_all(doc);
	xmlFreeDoc(doc);
	return copy;
}

/* 1: *ret is the volume's secret; 0: libvirt says that there is none. */
static int lookup(struct guest_connection *g, const uuid_t volume, virSecretPtr *ret, struct error *e)
{
	uuid_t uuid;
	guest_secret_uuid(volume, uuid);
	virSecretPtr s = virSecretLookupByUUID(g->conn, uuid);
	if (!s && virGetLastErrorCode() != VIR_ERR_NO_SECRET)
		return guest_error(e, "cannot ask libvirt for a secret");
	if (s)
		*ret = s;
	return s != NULL;
}

/*
 * Is it what we would define? One that others made under our UUID may give its value to anybody (private='no'), or
 * put it on a disk. There is no call for it, so its XML is read.
 */
static int is_as_ours(virSecretPtr s, const uuid_t volume, bool ephemeral, bool *ret, struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	AUTOFREE char *xml = virSecretGetXMLDesc(s, 0);
	char text[37];
	if (!xml)
		return guest_error(e, "cannot ask libvirt for a secret");
	int r = guest_xml_find(&x, xml, "/secret/usage[@type='volume']/volume/text()", e);
	if (r < 0)
		return r;
	uuid_unparse_lower(volume, text);
	const char *usage = guest_xml_count(&x) ? (const char *)guest_xml_node(&x, 0)->content : "";
	xmlNodePtr root = xmlDocGetRootElement(x.doc);
	*ret = guest_xml_is(root, "private", "yes") && guest_xml_is(root, "ephemeral", ephemeral ? "yes" : "no") &&
	       !strncmp(usage, GUEST_SECRET_USAGE, strlen(GUEST_SECRET_USAGE)) &&
	       !strcmp(usage + strlen(GUEST_SECRET_USAGE), text);
	return lazy_xml_memory(e);
}

/* The secret to be filled; *ret NULL: to be defined. What is not as ours would be goes: it is never filled. */
static int find_fit(struct guest_connection *g, const uuid_t volume, bool ephemeral, virSecretPtr *ret, struct error *e)
{
	AUTOSECRETPTR virSecretPtr s = NULL;
	bool ours = false;
	int r = lookup(g, volume, &s, e);
	if (r == 1)
		r = is_as_ours(s, volume, ephemeral, &ours, e);
	if (r == 0 && s && !ours && virSecretUndefine(s) < 0)
		r = guest_error(e, "cannot undefine a secret that others have defined under our UUID");
	if (r == 0 && ours)
		*ret = TAKE_PTR(s);
	return r;
}

int guest_secret_register(struct guest_connection *g, const uuid_t volume, const char *path,
			  const struct secret *passphrase, bool *ret_new, bool *ret_ephemeral,
			  struct error *e)
{
	AUTOSECRETPTR virSecretPtr s = NULL;
	bool ephemeral = !(g->secrets_dir && file_is_ram(g->secrets_dir));
	int r = guest_require_secure(g, e);
	if (r == 0)
		r = find_fit(g, volume, ephemeral, &s, e);
	if (r < 0)
		return r;
	bool fresh = !s;
	if (fresh) {
		AUTOFREE char *xml = guest_secret_xml(volume, path, ephemeral);
		if (!xml)
			return error_oom(e);
		s = virSecretDefineXML(g->conn, xml, 0);
		if (!s)
			return guest_error(e, "libvirt does not take the secret of %s", path);
	}
	if (virSecretSetValue(s, passphrase->data, passphrase->len, 0) < 0) {
		r = guest_error(e, "libvirt does not take the key of %s", path);
		if (fresh)
			virSecretUndefine(s);
		return r;
	}
	if (ret_new)
		*ret_new = fresh;
	if (ret_ephemeral)
		*ret_ephemeral = ephemeral;
	return 0;
}

int guest_secret_forget(struct guest_connection *g, const uuid_t volume, bool *ret_was, struct error *e)
{
	AUTOSECRETPTR virSecretPtr s = NULL;
	int was = lookup(g, volume, &s, e);
	/* Somebody else may have been quicker. */
	if (was == 1 && virSecretUndefine(s) < 0 && virGetLastErrorCode() != VIR_ERR_NO_SECRET)
		return guest_error(e, "cannot undefine a secret");
	if (was >= 0 && ret_was)
		*ret_was = was;
	return was < 0 ? was : 0;
}

int guest_secret_exists(struct guest_connection *g, const uuid_t volume, struct error *e)
{
	AUTOSECRETPTR virSecretPtr s = NULL;
	return lookup(g, volume, &s, e);
}
