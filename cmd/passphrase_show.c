/* kvmcrypt passphrase show: the one way a key leaves the keystore for a person; asked and logged. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "base/file.h"
#include "lib/volume/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct show_options {
	bool yes;
};

static const struct option_spec options[] = { OPTION_YES(struct show_options), { 0 } };

/* Not through stdio, whose buffer would keep a copy. The newline is for a terminal only, so that
 * a program that reads the passphrase as a key file gets exactly its bytes. */
static int write_out(const struct secret *s, struct error *e)
{
	int r = file_write(STDOUT_FILENO, s->data, s->len, "standard output", e);
	if (r == 0 && isatty(STDOUT_FILENO))
		r = file_write(STDOUT_FILENO, "\n", 1, "standard output", e);
	return r;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct show_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	char question[1200];
	(void)n;
	if (ctx->json)
		return error_set(e, ERROR_USAGE, EINVAL, "a passphrase is never part of JSON: leave out --json");
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r < 0)
		return r;
	snprintf(question, sizeof(question), "This prints the passphrase that opens %.900s, and is logged.",
		 record->path);
	r = person_confirm(o->yes, question, e);
	if (r == 0)
		r = keystore_reveal(ks, &record, 1, "show-passphrase", record->path, e);
	return r < 0 ? r : write_out(record->passphrase, e);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_passphrase_show = {
	.name = "passphrase show",
	.group = GROUP_KEYS,
	.summary = "print the passphrase of a volume",
	.description = "Prints the passphrase that opens VOLUME on standard output, without a newline unless that "
		       "is a terminal. Asks first, and leaves a row in the audit trail.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct show_options),
	.run = run,
};
