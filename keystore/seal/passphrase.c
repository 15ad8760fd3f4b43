/* A passphrase from a person. */
#include "keystore/seal/kind.h"

static int fit(const struct credential *c, struct credential *ret, struct secret **ret_own, struct error *e)
{
	(void)ret_own;
	if (!c->key || !c->key->len)
		return error_set(e, ERROR_USAGE, EINVAL, "an empty passphrase protects nothing");
	*ret = *c;
	return 0;
}

const struct slot_kind slot_kind_passphrase = { .name = "passphrase", .fit = fit };
