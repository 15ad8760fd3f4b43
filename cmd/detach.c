/* kvmcrypt detach: undoes attach. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>

struct detach_options {
	bool live, config, dry_run;
};

static const struct option_spec options[] = {
	{ "config", OPTION_FLAG, offsetof(struct detach_options, config), NULL,
	  "only from the persistent configuration", NULL, COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct detach_options),
	{ "live", OPTION_FLAG, offsetof(struct detach_options, live), NULL, "only from the running guest", NULL,
	  COMPLETE_NONE, 0 },
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct detach_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct volume_attached a;
	(void)n;
	if (o->live && o->config)
		return error_set(e, ERROR_USAGE, EINVAL, "--live and --config exclude each other; both is the default");
	int r = environment_attach(ctx, "detach", operands, &ks, &record, &g, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	const struct volume_attach p = {
		.domain = operands[0],
		.only_live = o->live,
		.only_config = o->config,
		.dry_run = o->dry_run,
	};
	r = volume_detach(&env, g, record, &p, &a, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s %s domain %s",
	    o->dry_run && a.changed ? "would detach"
	    : a.changed		    ? "detached"
				    : "is not attached:",
	    record->path, a.changed ? "from" : "to", a.domain);
	return ctx->json ? output_object(ctx, attached_json(record, &a), NULL) : 0;
}

static const struct operand_spec operands[] = {
	{ "DOMAIN", false, false, COMPLETE_DOMAIN, NULL },
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ 0 },
};

const struct command command_detach = {
	.name = "detach",
	.group = GROUP_GUESTS,
	.summary = "take a volume away from a domain",
	.description = "Removes the disk from the running guest and from the configuration of DOMAIN, and then the "
		       "secrets that no domain needs any more. A volume that is not attached is no error.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct detach_options),
	.run = run,
};
