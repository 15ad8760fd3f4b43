/* A slot whose key a FIDO2 token with hmac-secret gives back, touched by a person. */
#include "keystore/seal/systemd.h"

#include <string.h>

#define TOUCH_SECONDS 60	/* a person has to find the key and touch it, perhaps twice */

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--fido2-device", text_or(p->device, "auto"));
	systemd_argument(a, "--fido2-with-client-pin", p->with_pin ? "yes" : "no");
}

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	static const char prefix[] = "/dev/hidraw";
	(void)path;
	if (!p->device || !strcmp(p->device, "auto") ||
	    (!strncmp(p->device, prefix, sizeof(prefix) - 1) && !strchr(p->device + sizeof(prefix) - 1, '/') &&
	     slot_word_fits(p->device)))
		return 0;
	return error_set(e, ERROR_USAGE, EINVAL, "'%s' names no FIDO2 token: give auto or /dev/hidraw…", p->device);
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

const struct slot_kind slot_kind_fido2 = {
	.name = "fido2", .device = true, .check = check, .enrol = enrol, .open = open_it,
};
