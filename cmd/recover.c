/* kvmcrypt recover: finishes or undoes what an interrupted command left. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volumes.h"

#include "lib/volume/state.h"
#include "lib/volume/mapped.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct column columns[] = {
	{ "path", "PATH", SHOW_PLAIN },	      { "was", "WAS", SHOW_PLAIN },
	{ "outcome", "OUTCOME", SHOW_PLAIN }, { "detail", "DETAIL", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

struct recover_options {
	bool no_libvirt;
};

static const struct option_spec options[] = {
	{ "no-libvirt", OPTION_FLAG, offsetof(struct recover_options, no_libvirt), NULL,
	  "do not ask libvirt whether a guest runs with a volume, nor renew its secret", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

static int recover_one(struct output_list *list, const struct volume_env *env, struct guest_connection *g,
		       const uuid_t uuid, struct error *first, size_t *n_shown)
{
	struct volume_recovered done;
	struct error why = { 0 };
	AUTORECORD struct record *seen = NULL;
	char path[1100];
	int r = keystore_get(env->ks, uuid, &seen, &why);
	snprintf(path, sizeof(path), "%s", seen ? seen->path : "");
	if (r == 0)
		r = volume_recover(env, g, uuid, &done, &why);
	/* It may have ended by itself since the list was made. */
	if (r == -ENOENT || (r == 0 && done.was == RECORD_READY))
		return 0;
	/* A link that a guest still needs is nothing unfinished. */
	if (r == 0 && !strcmp(done.outcome, "waits"))
		return 0;
	++*n_shown;
	if (r < 0 || !strcmp(done.outcome, "needs_attention")) {
		if (r < 0) {
			done.outcome = "failed";
			snprintf(done.detail, sizeof(done.detail), "%.500s", why.message);
		}
		if (!first->kind)
			error_set(first, why.kind ? why.kind : ERROR_DAMAGED, why.err, "%s: %s", path, done.detail);
	}
	struct json_object *row = json_object_new_object();
	put_uuid(row, "uuid", uuid);
	put_text(row, "path", path);
	put_text(row, "was", volume_state_name(done.was));
	put_text(row, "outcome", done.outcome);
	put_text(row, "detail", done.detail);
	return output_list_add(list, row);
}

struct debris {
	struct output_list *list;
	size_t n;
};

static int report_debris(void *ctx, const struct record *r)
{
	struct debris *d = ctx;
	struct json_object *row = json_object_new_object();
	put_uuid(row, "uuid", r->uuid);
	put_text(row, "path", r->path);
	put_text(row, "was", "opening");
	put_text(row, "outcome", "undone");
	put_text(row, "detail", "a half-made mapping was removed");
	d->n++;
	return output_list_add(d->list, row);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOVOLUMES struct volume_list unfinished = { 0 };
	struct output_list *list = NULL;
	struct error first = { 0 };
	size_t n_shown = 0;
	const struct recover_options *o = opaque;
	AUTOGUEST struct guest_connection *g = NULL;
	struct error why = { 0 };
	(void)operands, (void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = keystore_settle(ks, e);
	if (r == 0)
		r = volume_unfinished(ks, &unfinished, e);
	/* With libvirt out of reach the ones that no guest has are recovered all the same. */
	if (r == 0 && unfinished.domains && !o->no_libvirt)
		r = environment_try_connect(ctx, &g, &why, e);
	if (r == 0 && why.kind)
		say(ctx, "note: %s", why.message);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &list, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	for (size_t i = 0; i < unfinished.n && r == 0; i++)
		r = recover_one(list, &env, g, unfinished.uuids[i], &first, &n_shown);
	if (r == 0 && !first.kind && unfinished.damaged.kind)
		first = unfinished.damaged;
	struct debris debris = { .list = list };
	if (r == 0)
		r = volume_clear_all_debris(&env, report_debris, &debris, e);
	if (r == 0 && first.kind) {
		*e = first;
		r = -first.err;
	}
	r = output_list_end(list, r, NULL, e);
	if (r == 0 && !n_shown && !debris.n)
		say(ctx, "nothing to recover: no command was interrupted");
	return r;
}

const struct command command_recover = {
	.name = "recover",
	.summary = "finish or undo what an interrupted command left",
	.description = "Goes through the volumes whose last workflow did not end (a kill, a power cut), and "
		       "finishes or undoes each. Ends with a failure if one of them needs a person.",
	.options = options,
	.options_size = sizeof(struct recover_options),
	.run = run,
};
