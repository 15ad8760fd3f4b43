/* kvmcrypt boot enable: keys are loaded when the host starts. */
#include "cmd/boot_output.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "lib/guest/coredump.h"

struct enable_options {
	const char *root;
	bool no_ram, no_core_dumps, dry_run;
};

static const struct option_spec options[] = {
	{ "no-core-dumps", OPTION_FLAG, offsetof(struct enable_options, no_core_dumps), NULL,
	  "set max_core in qemu.conf, too, so that no crash of a guest leaves its memory, keys included, in a dump",
	  NULL, COMPLETE_NONE, 0 },
	{ "no-ram", OPTION_FLAG, offsetof(struct enable_options, no_ram), NULL,
	  "leave libvirt's directory of secrets as it is: keys come after its start, and guests by `load --start`",
	  NULL, COMPLETE_NONE, 0 },
	OPTION_ROOT(struct enable_options),
	OPTION_DRY_RUN(struct enable_options),
	{ 0 },
};

static int forbid_dumps(struct context *ctx, const struct enable_options *o, bool *changed, struct error *e)
{
	bool set = false;
	int r = guest_core_forbid(o->root, o->dry_run, &set, e);
	if (r == 0 && set && !o->dry_run)
		say(ctx, "max_core is set in qemu.conf: restart libvirt's daemon, then the guests that run");
	*changed = *changed || set;
	return r;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct enable_options *o = opaque;
	struct boot_unit units[BOOT_UNITS];
	bool changed = false;
	(void)operands, (void)n;
	int r = boot_units_read(o->root, units, e);
	if (r == 0)
		r = boot_units_enable(o->root, units, !o->no_ram, o->dry_run, &changed, e);
	/* The keystore of a host that does not run may be where this one cannot know. */
	bool whole = !(o->root && *o->root), waits = true;
	if (r == 0 && whole && boot_needs_network(ctx) && (r = boot_units_read(o->root, units, e)) == 0)
		r = boot_network_read(o->root, units, &waits, e);
	if (r == 0 && !waits) {
		changed = true;
		r = boot_network_enable(o->root, o->dry_run, e);
	}
	if (r == 0 && o->no_core_dumps)
		r = forbid_dumps(ctx, o, &changed, e);
	return r < 0 ? r : boot_output(ctx, o->root, changed, false, e);
}

const struct command command_boot_enable = {
	.name = "boot enable",
	.group = GROUP_GUESTS,
	.summary = "load keys when the host starts",
	.description = "Enables the systemd units that unseal the keystore when the host starts and give "
		       "libvirt the keys before it starts guests. With a Tang slot they wait for the network. "
		       "Whatever fails there, libvirt and all other guests start.",
	.options = options,
	.options_size = sizeof(struct enable_options),
	.run = run,
};
