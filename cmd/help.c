/* kvmcrypt help: of a command, of those that begin with a word, or of all. */
#include "cmd/commands.h"

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	int words = 0;
	(void)ctx, (void)opaque;
	if (!n) {
		command_print_overview(stdout);
		return 0;
	}
	const struct command *c = command_find(operands, n, &words);
	if (c)
		command_print_help(c);
	else if (n == 1 && command_is_family(operands[0]))
		command_print_family(operands[0], stdout);
	else
		return command_unknown(operands, n, e);
	return 0;
}

static const struct operand_spec operands[] = { { "COMMAND", true, true, COMPLETE_COMMAND, NULL }, { 0 } };

const struct command command_help = {
	.name = "help",
	.group = GROUP_HELP,
	.summary = "say what a command does",
	.description = "Prints what `kvmcrypt COMMAND --help` prints; without COMMAND the list of all commands. "
		       "`man kvmcrypt-COMMAND` says more.",
	.operands = operands,
	.run = run,
};
