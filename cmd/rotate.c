/* kvmcrypt rotate: new passphrases for volumes, also while guests run with them. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volumes.h"

#include "lib/volume/state.h"
#include "lib/workflow/rotate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct rotate_options {
	bool all, dry_run, no_libvirt, volume_key, shared_storage;
	uint64_t older_than, jobs;
};

static const struct option_spec options[] = {
	{ "all", OPTION_FLAG, offsetof(struct rotate_options, all), NULL, "every volume of the keystore", NULL,
	  COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct rotate_options),
	{ "jobs", OPTION_NUMBER, offsetof(struct rotate_options, jobs), "N",
	  "rotate N volumes at a time (default: one for each processor)", NULL, COMPLETE_NONE, 'j' },
	{ "no-libvirt", OPTION_FLAG, offsetof(struct rotate_options, no_libvirt), NULL,
	  "do not ask libvirt which guests run, nor renew its secrets (run `kvmcrypt load` later)", NULL,
	  COMPLETE_NONE, 0 },
	{ "older-than", OPTION_DURATION, offsetof(struct rotate_options, older_than), "AGE",
	  "only volumes whose passphrase is older (90d, 12h)", NULL, COMPLETE_NONE, 0 },
	OPTION_SHARED_STORAGE(struct rotate_options),
	{ "volume-key", OPTION_FLAG, offsetof(struct rotate_options, volume_key), NULL,
	  "encrypt all data anew with a new volume key, too", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

static const struct column columns[] = {
	{ "path", "PATH", SHOW_PLAIN },	    { "outcome", "OUTCOME", SHOW_PLAIN },
	{ "how", "HOW", SHOW_PLAIN },	    { "domain", "DOMAIN", SHOW_PLAIN },
	{ "generation", "GENERATION", SHOW_PLAIN }, { "error", "ERROR", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

struct walk {
	struct output_list *list;
	bool dry_run;
	size_t rotated, unchanged, n_failed;
	struct error first;
	char failed[600];	/* the names of those that failed, as many as fit */
};

static void note_failure(struct walk *w, const struct volume_rotation *v)
{
	char uuid[37];
	size_t used = strlen(w->failed);
	uuid_unparse_lower(v->uuid, uuid);
	const char *name = v->record ? v->record->path : uuid;
	if (!w->n_failed++)
		w->first = v->error;
	if (used + strlen(name) + 8 < sizeof(w->failed))
		snprintf(w->failed + used, sizeof(w->failed) - used, "%s%s", used ? ", " : "", name);
	else if (used + 5 < sizeof(w->failed) && strcmp(w->failed + used - 3, "...") != 0)
		strcat(w->failed, ", ...");
}

static int add_row(void *opaque, const struct volume_rotation *v)
{
	struct walk *w = opaque;
	struct json_object *row = json_object_new_object();
	bool failed = v->error.kind != ERROR_NONE;
	const char *outcome = failed		 ? "failed"
			      : !v->done.changed ? "unchanged"
			      : w->dry_run	 ? "would_rotate"
						 : "rotated";
	put_uuid(row, "uuid", v->uuid);
	put_text(row, "path", v->record ? v->record->path : NULL);
	put_text(row, "outcome", outcome);
	put_text(row, "how", v->done.how);
	put_text(row, "domain", v->done.domain[0] ? v->done.domain : NULL);
	put_number(row, "generation", v->done.generation);
	put_bool(row, "secret_renewed", v->done.registered);
	put_text(row, "error", failed ? v->error.message : NULL);
	if (failed)
		note_failure(w, v);
	else if (v->done.changed)
		w->rotated++;
	else
		w->unchanged++;
	return output_list_add(w->list, row);
}

static bool can_rotate(void *ctx, const struct record *r)
{
	(void)ctx;
	return !(volume_state_flags(r->state) & STATE_NO_KEY);
}

/* One that fails by itself keeps its own message and exit code. */
static int result_of(const struct walk *w, size_t n, struct error *e)
{
	if (!w->n_failed)
		return 0;
	*e = w->first;
	if (n > 1) {
		error_set(e, w->first.kind, w->first.err, "%zu of %zu volumes were not rotated: %s (the first: %s)",
			  w->n_failed, n, w->failed, w->first.message);
	}
	return -w->first.err;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct rotate_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	AUTOVOLUMES struct volume_list volumes = { 0 };
	size_t failed;
	struct error why = { 0 };
	struct walk w = { .dry_run = o->dry_run };
	const struct volume_rotate p = { .dry_run = o->dry_run, .without_libvirt = o->no_libvirt,
					.volume_key = o->volume_key };
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = volumes_chosen(ctx, ks, o->all, operands, n, can_rotate, &volumes, e);
	/* A volume may be known to libvirt by `load` alone, so it is asked in any case. */
	if (r == 0 && !o->no_libvirt)
		r = environment_try_connect(ctx, &g, &why, e);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &w.list, e);
	if (r < 0)
		return r;
	if (why.kind)
		say_more(ctx, "%s", why.message);
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	int64_t before = o->older_than ? (int64_t)time(NULL) - (int64_t)o->older_than : 0;
	r = volume_rotate_many(&env, g, volumes.uuids, volumes.n, &p, before, (unsigned)(o->jobs > 64 ? 64 : o->jobs),
			       add_row, &w, &failed, e);
	if (r == 0)
		r = result_of(&w, volumes.n, e);
	if (r == 0 && volumes.damaged.kind)
		r = error_pass(e, &volumes.damaged);
	struct json_object *summary = json_object_new_object(), *extra = json_object_new_object();
	put_number(summary, "rotated", w.rotated);
	put_number(summary, "unchanged", w.unchanged);
	put_number(summary, "failed", w.n_failed);
	json_object_object_add(extra, "summary", summary);
	r = output_list_end(w.list, r, extra, e);
	if (volumes.n > 1)
		say(ctx, "%zu %s, %zu unchanged, %zu failed", w.rotated, o->dry_run ? "to rotate" : "rotated",
		    w.unchanged, w.n_failed);
	if (w.rotated && !o->dry_run && !o->volume_key)
		say(ctx, "A copy of a LUKS header made before (a backup, a snapshot) still opens with the old "
			 "passphrase: against that only a new volume key helps (`kvmcrypt rotate "
			 "--volume-key`).");
	return r;
}

static const struct operand_spec operands[] = { { "VOLUME", true, true, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_rotate = {
	.name = "rotate",
	.group = GROUP_KEYS,
	.summary = "give volumes new passphrases",
	.description = "Replaces the passphrase of each VOLUME, at rest, mapped, or attached to a running "
		       "guest. The old one stays valid until the new one is proven and stored, then its "
		       "keyslot is destroyed; keyslots of others are not touched. A volume that fails does not "
		       "stop the others.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct rotate_options),
	.run = run,
};
