/* kvmcrypt header restore: builds a lost LUKS header anew. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/header_json.h"
#include "cmd/person.h"

#include <stdio.h>

struct restore_options {
	bool dry_run, yes, overwrite_foreign;
	const char *backup;
};

static const struct option_spec options[] = {
	{ "backup", OPTION_TEXT, offsetof(struct restore_options, backup), "FILE",
	  "first copy what is at the header's place into the new FILE", NULL, COMPLETE_FILE, 0 },
	OPTION_DRY_RUN(struct restore_options),
	{ "overwrite-foreign", OPTION_FLAG, offsetof(struct restore_options, overwrite_foreign), NULL,
	  "destroy even a whole LUKS header of another volume that is there now", NULL, COMPLETE_NONE, 0 },
	OPTION_YES(struct restore_options),
	{ 0 },
};

static int confirm(struct context *ctx, const struct restore_options *o, const struct record *r,
		   const struct header_state *found, struct error *e)
{
	char question[1400];
	say(ctx, "found at the header's place: %s%s%s", header_condition_name(found->condition),
	    found->problem[0] ? ": " : "", found->problem);
	snprintf(question, sizeof(question),
		 "This makes the LUKS header of %.900s anew, with the keystore's keyslot; those of others stay "
		 "as far as they can be read.",
		 r->header_path ? r->header_path : r->path);
	return person_confirm(o->yes, question, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct restore_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	struct header_state found = { 0 };
	bool changed = false;
	struct header_restore p = { .foreign = o->overwrite_foreign, .dry_run = true };
	(void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r < 0)
		return r;
	/* What would be refused is refused before anybody is asked. */
	struct volume_env env = environment(ctx, ks);
	/* One that was interrupted was confirmed then. */
	struct volume_recovered rest;
	if (record->state == RECORD_RESTORING && !o->dry_run)
		r = volume_recover(&env, NULL, record->uuid, &rest, e);
	if (r == 0)
		r = volume_header_restore(&env, record->uuid, &p, &found, &changed, e);
	if (r == 0 && changed && !o->dry_run)
		r = confirm(ctx, o, record, &found, e);
	p.dry_run = false;
	p.backup = o->backup;
	const struct header_state seen = found;
	p.confirmed = &seen;
	if (r == 0 && changed && !o->dry_run)
		r = volume_header_restore(&env, record->uuid, &p, &found, &changed, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s",
	    !changed	 ? "the header is good:"
	    : o->dry_run ? "would restore the header of"
			 : "restored the header of",
	    record->path);
	if (!ctx->json)
		return 0;
	record_free(TAKE_PTR(record));
	if ((r = environment_find(ctx, ks, operands[0], &record, e)) < 0 ||
	    (r = keystore_reveal(ks, &record, 1, "header-show", NULL, e)) < 0)
		return r;
	struct json_object *j = header_json(record, &found);
	put_bool(j, "changed", changed);
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_header_restore = {
	.name = "header restore",
	.group = GROUP_KEYS,
	.summary = "rebuild a destroyed LUKS header from the keystore",
	.description = "Builds a new LUKS1 or LUKS2 header from the sealed volume key and geometry and puts it "
		       "in the place of the lost one: at the start of a raw volume, in its detached file, or "
		       "inside the qcow2. Keyslots of others stay, where they can still be read. A header that "
		       "is good is left alone; one of another volume is refused, and so is one that says that "
		       "the data has two volume keys just now.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct restore_options),
	.run = run,
};
