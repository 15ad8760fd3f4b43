/* kvmcrypt header show: the LUKS header that is there, and what the keystore could rebuild. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/header_json.h"
#include "cmd/person.h"

static int run(struct context *ctx, void *options, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	struct header_state found;
	(void)options, (void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0)
		r = keystore_reveal(ks, &record, 1, "header-show", NULL, e);
	if (r == 0)
		r = header_look(record, &found, e);
	return r < 0 ? r : output_object(ctx, header_json(record, &found), header_columns);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_header_show = {
	.name = "header show",
	.group = GROUP_KEYS,
	.summary = "show the LUKS header of a volume, and whether it could be rebuilt",
	.description = "Shows what is at the place of VOLUME's LUKS header: good, locked (the keystore's "
		       "passphrase opens no keyslot), foreign (of another volume), damaged, re-encrypting, "
		       "gone, or missing with its file; and what the keystore has to rebuild it with. Writes "
		       "nothing to the image.",
	.operands = operands,
	.run = run,
};
