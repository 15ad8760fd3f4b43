/* kvmcrypt close: undoes open, mapping or export. Needs no key, so it works while the keystore is sealed. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "lib/serve/export.h"
#include "lib/serve/open.h"

struct close_options {
	bool deferred, dry_run;
};

static const struct option_spec options[] = {
	{ "deferred", OPTION_FLAG, offsetof(struct close_options, deferred), NULL,
	  "if it is in use, close it as soon as its last user has gone", NULL, COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct close_options),
	{ 0 },
};

static const char *outcome(const struct close_options *o, const struct volume_opened *c)
{
	if (!c->changed)
		return "is not open:";
	if (o->dry_run)
		return "would close";
	return c->deferred ? "will be closed by its last user:" : "closed";
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct close_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	struct volume_opened closed;
	struct volume_mapping mapping;
	bool exported = false;
	(void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	r = volume_unexport(&env, record, o->dry_run, &exported, e);
	if (r == 0)
		r = volume_close(&env, record, o->deferred, o->dry_run, &closed, e);
	if (r == 0)
		r = volume_mapping(record, &mapping, e);
	if (r < 0)
		return r;
	closed.changed = closed.changed || exported;
	say(ctx, "%s %s", outcome(o, &closed), record->path);
	return ctx->json ? output_object(ctx, volume_json_mapping(volume_json(record), &mapping), NULL) : 0;
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_close = {
	.name = "close",
	.summary = "undo open",
	.description = "Removes the /dev/mapper device of VOLUME, the loop device below it and the key from "
		       "the kernel, or ends its export. Works while the keystore is sealed. A volume that is "
		       "not open is no error; one that is in use is, and who uses it is said.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct close_options),
	.run = run,
};
