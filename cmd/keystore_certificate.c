/* kvmcrypt keystore certificate: what another host exports volumes to. */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <stdio.h>
#include <unistd.h>

static const struct option_spec options[] = { { 0 } };

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOFREE char *pem = NULL;
	char host[65] = "";
	(void)opaque, (void)operands, (void)n;
	gethostname(host, sizeof(host) - 1);
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0 || (r = keystore_certificate(ks, host[0] ? host : "kvmcrypt", &pem, e)) < 0)
		return r;
	if (!ctx->json) {
		fputs(pem, stdout);
		return 0;
	}
	struct json_object *o = json_object_new_object();
	put_text(o, "path", keystore_path(ks));
	put_text(o, "certificate", pem);
	return output_object(ctx, o, NULL);
}

const struct command command_keystore_certificate = {
	.name = "keystore certificate",
	.group = GROUP_KEYSTORE,
	.summary = "print what another host exports volumes to",
	.description = "Prints the certificates (X.509, PEM) of this keystore's two public keys, for `kvmcrypt "
		       "keystore export --to` and `kvmcrypt keystore import --from` on another host. They are no "
		       "secret, but take care that they are the right ones. `keystore rekey` changes them.",
	.options = options,
	.options_size = 0,
	.run = run,
};
