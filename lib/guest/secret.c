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

/* Is an existing secret ephemeral? Read from its XML, as there is no call for it. */
static bool is_ephemeral(virSecretPtr s)
{
	char *xml = virSecretGetXMLDesc(s, 0);
	bool yes = xml && strstr(xml, "ephemeral='yes'");
	free(xml);
	return yes;
}

int guest_secret_register(struct guest_connection *g, const uuid_t volume, const char *path,
			  const struct secret *passphrase, bool *ret_new, bool *ret_ephemeral,
			  struct error *e)
{
	AUTOSECRETPTR virSecretPtr s = NULL;
	uuid_t uuid;
	int r = guest_require_secure(g, e);
	if (r < 0)
		return r;
	bool ephemeral = !(g->secrets_dir && file_is_ram(g->secrets_dir));
	guest_secret_uuid(volume, uuid);
	s = virSecretLookupByUUID(g->conn, uuid);
	/* Redefining a persistent secret as ephemeral would leave its file behind. */
	if (s && is_ephemeral(s) != ephemeral) {
		virSecretUndefine(s);
		virSecretFree(s);
		s = NULL;
	}
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
	uuid_t uuid;
	guest_secret_uuid(volume, uuid);
	AUTOSECRETPTR virSecretPtr s = virSecretLookupByUUID(g->conn, uuid);
	if (!s) {
		if (virGetLastErrorCode() != VIR_ERR_NO_SECRET)
			return guest_error(e, "cannot look up a secret");
		if (ret_was)
			*ret_was = false;
		return 0;
	}
	if (virSecretUndefine(s) < 0)
		return guest_error(e, "cannot undefine a secret");
	if (ret_was)
		*ret_was = true;
	return 0;
}

bool guest_secret_exists(struct guest_connection *g, const uuid_t volume)
{
	uuid_t uuid;
	guest_secret_uuid(volume, uuid);
	AUTOSECRETPTR virSecretPtr s = virSecretLookupByUUID(g->conn, uuid);
	return s != NULL;
}
