/* kvmcrypt keystore status: where it is, whether it is sealed, what unseals it. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/person.h"

static const struct option_spec options[] = { { 0 } };

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	(void)opaque, (void)operands, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	return r < 0 ? r : keystore_output(ctx, ks, e);
}

const struct command command_keystore_status = {
	.name = "keystore status",
	.group = GROUP_KEYSTORE,
	.summary = "show the keystore and its slots",
	.description = "Shows where the keystore is, whether its root key is in the kernel keyring, what is in it and "
		       "which slots unseal it. The audit head, noted elsewhere, lets `kvmcrypt keystore check "
		       "--expect-head` notice a keystore that was set back to an older copy.",
	.options = options,
	.run = run,
};
