/* kvmcrypt keystore backup: the whole keystore, sealed as it is, in one file. */
#include "base/file.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOFREE char *file = NULL;
	struct keystore_status st;
	(void)opaque, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0 || (r = file_canonical(operands[0], &file, e)) < 0)
		return r;
	/* With the root key the backup gets a row in the audit trail; it needs none. */
	bool cached = false;
	if (keystore_is_cached(ks, &cached, NULL) == 0 && cached)
		keystore_unseal_auto(ks, NULL);
	if ((r = keystore_status(ks, &st, e)) < 0 || (r = keystore_backup(ks, file, e)) < 0)
		return r;
	say(ctx, "backed up keystore %s (%llu volumes) to %s", keystore_path(ks), (unsigned long long)st.volumes, file);
	say(ctx, "It opens with the ways to unseal of now: keep one of them apart from this machine.");
	if (!ctx->json)
		return 0;
	struct json_object *o = json_object_new_object();
	put_text(o, "path", keystore_path(ks));
	put_text(o, "file", file);
	put_number(o, "volumes", st.volumes);
	put_text(o, "root_key_id", st.root_key_id);
	return output_object(ctx, o, NULL);
}

static const struct operand_spec operands[] = { { "FILE", false, false, COMPLETE_FILE, NULL }, { 0 } };
static const struct option_spec options[] = { { 0 } };

const struct command command_keystore_backup = {
	.name = "keystore backup",
	.group = GROUP_KEYSTORE,
	.summary = "copy the whole keystore to a file",
	.description = "Writes a consistent copy of records, audit trail and seal to the new FILE, also while "
		       "other commands use the keystore and while it is sealed. Its keys are sealed as in the "
		       "keystore: without a way to unseal it is of no use, and a slot of a TPM is none on "
		       "another machine.",
	.operands = operands,
	.options = options,
	.options_size = 0,
	.run = run,
};
