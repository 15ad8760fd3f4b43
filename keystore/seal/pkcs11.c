/* A slot whose key a PKCS#11 token (a smart card, an HSM) gives back. */
#include "keystore/seal/systemd.h"
#include "keystore/seal/token.h"

#include <string.h>

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--pkcs11-token-uri", p->device);
}

static bool uri_fits(const char *uri)
{
	/* RFC 7512, 2.4: behind the question mark are a PIN, a program that gives one, and modules to load. */
	return !strncmp(uri, "pkcs11:", 7) && slot_word_fits(uri) && !strchr(uri, '?');
}

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	(void)path;
	/* RFC 7512, 2.4: it would be in arguments, in the seal and in the audit trail. */
	if (p->device && strstr(p->device, "pin-value"))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "a PKCS#11 URI may not hold the PIN: give it with --pin-file or --pin-fd");
	if (p->device && strcmp(p->device, "auto") != 0 && !uri_fits(p->device))
		return error_set(e, ERROR_USAGE, EINVAL, 
				 "'%s' names no PKCS#11 token: give its URI, pkcs11:token=…, without a query, or auto",
				 p->device);
	return 0;
}

static const struct systemd_device pkcs11 = {
	.token = "systemd-pkcs11", .seconds = 30, .always_asks = true, .describe = describe,
};

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	return systemd_enrol(&pkcs11, s, root, c, ret_slot, e);
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		   struct error *e)
{
	AUTOFREE char *uri = seal_token_text(s->cd, "systemd-pkcs11", slot->slot, "pkcs11-uri");
	if (uri && !uri_fits(uri))
		return error_set(e, ERROR_DAMAGED, EBADMSG, 
				 "the seal was tampered with: '%s' of slot %d names no PKCS#11 token", uri, slot->slot);
	return systemd_open(&pkcs11, s, slot, pin, NULL, ret, e);
}

const struct slot_kind slot_kind_pkcs11 = {
	.name = "pkcs11", .turn = 4, .device = true, .check = check, .enrol = enrol, .open = open_it,
};
