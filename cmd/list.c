/* kvmcrypt list: the volumes of the keystore, one line each, in order of path. */
#include "cmd/commands.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "base/text.h"
#include "lib/volume/state.h"

#include <errno.h>
#include <string.h>

struct list_options {
	const char *state;
	uint64_t due;
};

static const struct option_spec options[] = {
	{ "due", OPTION_DURATION, offsetof(struct list_options, due), "AGE",
	  "only volumes whose passphrase is older than AGE (90d); ends with 1 if there is one", NULL, COMPLETE_NONE,
	  0 },
	{ "state", OPTION_CHOICE, offsetof(struct list_options, state), "STATE",
	  "only volumes in this state (ready, or the name of an unfinished workflow)", volume_shown_states,
	  COMPLETE_NONE, 0 },
	{ 0 },
};

struct walk {
	const struct context *ctx;
	struct output_list *list;
	const struct mapping_list *maps;
	const struct list_options *options;
	size_t due;
};

static int add_row(void *ctx, const struct record *r)
{
	struct walk *w = ctx;
	if (w->options->state && strcmp(volume_shown_state(r), w->options->state) != 0)
		return 0;
	bool future = volume_key_from_future(r);
	if (w->options->due && volume_key_age(r) <= w->options->due && !future)
		return 0;
	w->due++;
	if (future)
		say(w->ctx, "note: the key of %s was made in the future, if the clock is right: it counts as due",
		    r->path);
	struct volume_mapping m;
	volume_mapping_in(w->maps, r, &m);
	int ret = output_list_add(w->list, volume_json_mapping(volume_json(r), &m));
	/* A reader that has seen enough ends a list of a million. */
	return ret == 0 && output_is_lost() ? 1 : ret;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	(void)operands, (void)n;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	struct walk w = { .ctx = ctx, .options = opaque, .maps = &maps };
	int r = person_open_keystore(ctx, &ks, e);
	if (r == 0)
		r = mapping_list_read(&maps, e);
	if (r < 0)
		return r;
	r = output_list_begin(ctx, "volumes", volume_list_columns, &w.list, e);
	if (r < 0)
		return r;
	r = keystore_each(ks, add_row, &w, e);
	if (r == 0 && w.options->due && w.due) {
		char age[32];
		text_duration(w.options->due, age, sizeof(age));
		r = error_set(e, ERROR_FAILED, ETIME,
			      "%zu volume%s a passphrase older than %s: run `kvmcrypt rotate --all --older-than %s`",
			      w.due, w.due == 1 ? " has" : "s have", age, age);
	}
	return output_list_end(w.list, r > 0 ? 0 : r, NULL, e);
}

const struct command command_list = {
	.name = "list",
	.summary = "list the volumes of the keystore",
	.description = "Lists the volumes in order of their path. Works while the keystore is sealed: "
		       "only plain fields are shown, and `kvmcrypt keystore check` is what verifies them.",
	.options = options,
	.options_size = sizeof(struct list_options),
	.run = run,
};
