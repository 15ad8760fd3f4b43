/* kvmcrypt attach: the volume becomes a disk of a domain, its key a secret of libvirt. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>

struct attach_options {
	const char *target, *bus;
	uint64_t boot_order;
	bool adopt, readonly, renew, live, config, dry_run, shared_storage;
};

static const char *const buses[] = { "virtio", "scsi", "sata", "usb", "ide", NULL };

#define OPT(field) offsetof(struct attach_options, field)
static const struct option_spec options[] = {
	{ "adopt", OPTION_FLAG, OPT(adopt), NULL,
	  "give the disk that DOMAIN has already the volume's secret in the place of another", NULL, COMPLETE_NONE, 0 },
	{ "boot-order", OPTION_NUMBER, OPT(boot_order), "N",
	  "boot from it as the N-th device (in the configuration)", NULL, COMPLETE_NONE, 0 },
	{ "bus", OPTION_CHOICE, OPT(bus), "BUS", "virtio (default), scsi, sata, usb or ide", buses, COMPLETE_NONE,
	  0 },
	{ "config", OPTION_FLAG, OPT(config), NULL, "only in the persistent configuration", NULL, COMPLETE_NONE,
	  0 },
	OPTION_DRY_RUN(struct attach_options),
	{ "live", OPTION_FLAG, OPT(live), NULL, "only in the running guest", NULL, COMPLETE_NONE, 0 },
	{ "readonly", OPTION_FLAG, OPT(readonly), NULL, "the guest may not write to it", NULL, COMPLETE_NONE, 0 },
	{ "renew", OPTION_FLAG, OPT(renew), NULL,
	  "bring the disk that DOMAIN has already to what attach writes today", NULL, COMPLETE_NONE, 0 },
	OPTION_SHARED_STORAGE(struct attach_options),
	{ "target", OPTION_TEXT, OPT(target), "NAME", "name such as vdb (default: the next free one)", NULL,
	  COMPLETE_NONE, 0 },
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct attach_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct volume_attached a;
	(void)n;
	if (o->live && o->config)
		return error_set(e, ERROR_USAGE, EINVAL, "--live and --config exclude each other; both is the default");
	int r = environment_attach(ctx, "attach", operands, &ks, &record, &g, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	const struct volume_attach p = {
		.domain = operands[0],
		.target = o->target,
		.bus = o->bus,
		.readonly = o->readonly,
		.renew = o->renew,
		.adopt = o->adopt,
		.boot_order = (unsigned)o->boot_order,
		.only_live = o->live,
		.only_config = o->config,
		.dry_run = o->dry_run,
	};
	r = volume_attach(&env, g, record, &p, &a, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s as %s of domain %s%s%s%s",
	    !a.changed ? "is attached already:" : o->renew || o->adopt ? o->dry_run ? "would renew" : "renewed"
					      : o->dry_run	     ? "would attach"
								     : "attached", record->path, a.target,
	    a.domain, a.live ? ", in the running guest" : "", a.config ? ", in its configuration" : "",
	    o->dry_run ? "" : a.ephemeral ? "; the secret lives until libvirt's daemon restarts" : "");
	attached_core(ctx, a.domain, &a.core);
	return ctx->json ? output_object(ctx, attached_json(record, &a), NULL) : 0;
}

static const struct operand_spec operands[] = {
	{ "DOMAIN", false, false, COMPLETE_DOMAIN, NULL },
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ 0 },
};

const struct command command_attach = {
	.name = "attach",
	.group = GROUP_GUESTS,
	.summary = "make a volume a disk of a domain",
	.description = "Registers the key of VOLUME as a private secret of libvirt and adds the volume as an "
		       "encrypted disk to DOMAIN: to its configuration and, if the guest runs, to the guest. "
		       "Repeating it changes nothing but renews the secret.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct attach_options),
	.run = run,
};
