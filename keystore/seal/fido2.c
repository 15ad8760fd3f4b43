/* A slot whose key a FIDO2 token with hmac-secret gives back, touched by a person. */
#include "keystore/seal/systemd.h"

#define TOUCH_SECONDS 60	/* a person has to find the key and touch it, perhaps twice */

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--fido2-device", text_or(p->device, "auto"));
	systemd_argument(a, "--fido2-with-client-pin", p->with_pin ? "yes" : "no");
}

static const struct systemd_device fido2 = { .token = "systemd-fido2", .seconds = TOUCH_SECONDS, .describe = describe };

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	return systemd_enrol(&fido2, s, root, c, ret_slot, e);
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		   struct error *e)
{
	return systemd_open(&fido2, s, slot, pin, NULL, ret, e);
}

const struct slot_kind slot_kind_fido2 = { .name = "fido2", .device = true, .enrol = enrol, .open = open_it };
