/* kvmcrypt keystore forget: drops the record of a volume and leaves its disk. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <stdio.h>

struct forget_options {
	bool yes, dry_run, no_libvirt;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct forget_options),
	{ "no-libvirt", OPTION_FLAG, offsetof(struct forget_options, no_libvirt), NULL,
	  "do not ask libvirt whether a domain uses the volume, nor undefine its secret", NULL, COMPLETE_NONE,
	  0 },
	OPTION_YES(struct forget_options),
	{ 0 },
};

static int confirm(const struct record *r, bool yes, struct error *e)
{
	char question[1400];
	if (r->moved)
		snprintf(question, sizeof(question),
			 "This host forgets %.900s, which host %.255s has now; its key here is destroyed.", r->path,
			 r->moved);
	else
		snprintf(question, sizeof(question),
			 "This destroys the key of %.900s and leaves the file: without a backup of the "
			 "keystore, another host's keystore or a passphrase of your own in it nobody can read it "
			 "again.",
			 r->path);
	return person_confirm(yes, question, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct forget_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	(void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0 && !o->no_libvirt && (r = environment_connect(ctx, &g, e)) < 0)
		error_prefix(e, "whether a domain uses %s is not known (--no-libvirt goes on without asking)",
			     record->path);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	/* What would be refused is refused before anybody is asked. */
	if ((r = volume_forget(&env, g, record->uuid, true, e)) < 0 ||
	    (!o->dry_run && ((r = confirm(record, o->yes, e)) < 0 ||
			     (r = volume_forget(&env, g, record->uuid, false, e)) < 0)))
		return r;
	say(ctx, "%s %s; the file stays", o->dry_run ? "would forget" : "forgot", record->path);
	if (!ctx->json)
		return 0;
	struct json_object *j = json_object_new_object();
	put_uuid(j, "uuid", record->uuid);
	put_text(j, "path", record->path);
	put_text(j, "moved", record->moved);
	put_bool(j, "forgotten", !o->dry_run);
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_keystore_forget = {
	.name = "keystore forget",
	.group = GROUP_KEYSTORE,
	.summary = "drop the record of a volume and keep the disk",
	.description = "Destroys the record of VOLUME with its sealed key, and libvirt's secret. The disk is "
		       "not touched: that is for a volume that another host has now, or that is opened by "
		       "other means. Asks first. Refused while a domain of this host has the volume, and while "
		       "another volume is based on it.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct forget_options),
	.run = run,
};
