/* kvmcrypt seal: the root key out of the kernel keyring. */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

static const struct option_spec options[] = { { 0 } };

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	bool was = false, cached = false;
	(void)opaque, (void)operands, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	/* Sealing comes before logging it: a damaged audit trail must not keep the key in memory. */
	bool can_log = keystore_is_cached(ks, &cached, NULL) == 0 && cached && keystore_unseal_auto(ks, NULL) == 0;
	if ((r = keystore_uncache(ks, &was, e)) < 0)
		return r;
	if (was && can_log) {
		struct error why = { 0 };
		if (keystore_audit(ks, "seal", NULL, NULL, &why) < 0)
			say(ctx, "note: sealed, but not logged: %s", why.message);
	}
	say(ctx, was ? "sealed keystore %s" : "keystore %s is sealed already", keystore_path(ks));
	if (!ctx->json)
		return 0;
	struct json_object *o = json_object_new_object();
	put_text(o, "path", keystore_path(ks));
	put_bool(o, "sealed", true);
	put_bool(o, "changed", was);
	return output_object(ctx, o, NULL);
}

const struct command command_seal = {
	.name = "seal",
	.group = GROUP_KEYSTORE,
	.summary = "close the keystore",
	.description = "Removes the root key from the kernel keyring. Guests that run keep running, and keys that "
		       "libvirt has been given stay there (see `kvmcrypt unload`). A keystore with a key-file slot "
		       "is unsealed again by the next command that can read that file.",
	.options = options,
	.run = run,
};
