/* kvmcrypt boot disable: keys are loaded by hand. */
#include "cmd/boot_output.h"
#include "cmd/commands.h"

struct disable_options {
	const char *root;
	bool dry_run;
};

static const struct option_spec options[] = {
	OPTION_ROOT(struct disable_options),
	OPTION_DRY_RUN(struct disable_options),
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct disable_options *o = opaque;
	struct boot_unit units[BOOT_UNITS];
	bool changed = false;
	(void)operands, (void)n;
	int r = boot_units_read(o->root, units, e);
	if (r == 0)
		r = boot_units_disable(o->root, units, o->dry_run, &changed, e);
	return r < 0 ? r : boot_output(ctx, o->root, changed, false, e);
}

const struct command command_boot_disable = {
	.name = "boot disable",
	.group = GROUP_GUESTS,
	.summary = "do not load keys when the host starts",
	.description = "Disables the units of `kvmcrypt boot enable`. What is loaded stays so until the host restarts.",
	.options = options,
	.options_size = sizeof(struct disable_options),
	.run = run,
};
