/* A slot whose key a PKCS#11 token (a smart card, an HSM) gives back. */
#include "keystore/seal/systemd.h"

#include <string.h>

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--pkcs11-token-uri", p->device);
}

static int check(const struct slot_params *p, struct error *e)
{
	/* RFC 7512, 2.4: it would be in arguments, in the seal and in the audit trail. */
	if (p->device && strstr(p->device, "pin-value"))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "a PKCS#11 URI may not hold the PIN: give it with --pin-file or --pin-fd");
	return 0;
}

static const struct systemd_device pkcs11 = {
	.token = "systemd-pkcs11", .seconds = 30, .always_asks = true, .describe = describe, .check = check,
};

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	return systemd_enrol(&pkcs11, s, root, c, ret_slot, e);
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		   struct error *e)
{
	return systemd_open(&pkcs11, s, slot, pin, NULL, ret, e);
}

const struct slot_kind slot_kind_pkcs11 = {
	.name = "pkcs11", .turn = 4, .device = true, .enrol = enrol, .open = open_it
};
