/* kvmcrypt boot status: would encrypted guests come back by themselves after a restart of the host? */
#include "cmd/boot_output.h"
#include "cmd/commands.h"

struct status_options {
	const char *root;
};

static const struct option_spec options[] = {
	OPTION_ROOT(struct status_options),
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct status_options *o = opaque;
	(void)operands, (void)n;
	return boot_output(ctx, o->root, -1, true, e);
}

const struct command command_boot_status = {
	.name = "boot status",
	.group = GROUP_GUESTS,
	.summary = "say whether encrypted guests start with the host",
	.description = "Shows the units, how they last went, tries every way to unseal the keystore without a "
		       "person, and says which guests would start after a restart of the host and which would "
		       "wait. What would keep them from starting is a line each, and exit code 1.",
	.options = options,
	.options_size = sizeof(struct status_options),
	.run = run,
};
