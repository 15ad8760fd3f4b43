/* kvmcrypt move: another place for a volume, or taking note of one that it has already. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "lib/workflow/move/move.h"

#include <errno.h>
#include <string.h>

struct move_options {
	const char *header;
	bool live, dry_run, no_libvirt, shared_storage;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct move_options),
	{ "header", OPTION_TEXT, offsetof(struct move_options, header), "PATH",
	  "move a detached header, too, to PATH (without it, it stays where it is)", NULL, COMPLETE_FILE, 0 },
	{ "live", OPTION_FLAG, offsetof(struct move_options, live), NULL,
	  "while a guest runs with it: by a copy that the guest goes over to", NULL, COMPLETE_NONE, 0 },
	OPTION_NO_LIBVIRT(struct move_options, "do not ask libvirt, nor change what its domains call the image"),
	OPTION_SHARED_STORAGE(struct move_options),
	{ 0 },
};

static void tell(struct context *ctx, const struct record *r, const struct volume_moved *done, bool dry_run,
		 const char *to)
{
	const char *how = done->how ? done->how : "";
	if (!done->changed)
		say(ctx, "%s is there already", r->path);
	else if (!strcmp(how, "noted"))
		say(ctx, "%s that %s is at %s now", dry_run ? "would take note" : "took note", done->from, to);
	else
		say(ctx, "%s %s to %s%s", dry_run ? "would move" : "moved", done->from, to,
		    !strcmp(how, "rename") ? "" : !strcmp(how, "copy") ? ", by a copy" : ", by a copy under its guest");
	if (done->configurations || done->overlays)
		say(ctx, "the new place stands in %zu disk%s of domains and %zu overlay%s now", done->configurations,
		    done->configurations == 1 ? "" : "s", done->overlays, done->overlays == 1 ? "" : "s");
}

/* Interrupted late, a move has given the volume its new name already. */
static int find(struct context *ctx, struct keystore *ks, char **operands, struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = environment_find(ctx, ks, operands[0], ret, e);
	if (result != -ENOENT || environment_find(ctx, ks, operands[1], &r, NULL) < 0 ||
	    (r->state != RECORD_MOVING && r->state != RECORD_MOVED_IN_PLACE))
		return result;
	*e = (struct error){ 0 };
	*ret = TAKE_PTR(r);
	return 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct move_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTORECORD struct record *moved = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct volume_moved done;
	const struct volume_move p = {
		.to = operands[1], .header = o->header, .live = o->live, .without_libvirt = o->no_libvirt,
		.dry_run = o->dry_run,
	};
	(void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = find(ctx, ks, operands, &record, e);
	if (r == 0)
		r = environment_connect_for(ctx, record, o->no_libvirt, &g, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	r = volume_move(&env, g, record->uuid, &p, &done, &moved, e);
	if (r < 0)
		return r;
	tell(ctx, moved, &done, o->dry_run, o->dry_run ? operands[1] : moved->path);
	if (!ctx->json)
		return 0;
	struct json_object *j = volume_json(moved);
	put_text(j, "moved_from", done.changed ? done.from : NULL);
	put_bool(j, "changed", done.changed);
	put_text(j, "how", done.how);
	put_number(j, "configurations", done.configurations);
	put_number(j, "overlays", done.overlays);
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = {
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ "PATH", false, false, COMPLETE_FILE, NULL },
	{ 0 },
};

const struct command command_move = {
	.name = "move",
	.summary = "give a volume another place, or take note of one that it has already",
	.description = "Moves the image of VOLUME to PATH (into it, if that is a directory), on its file "
		       "system or to another one, together with all that names it: its record, the "
		       "configurations of domains, the overlays above it. Where the image is at PATH already "
		       "and no more where the keystore knows it, that is proven and taken note of. VOLUME may "
		       "be a UUID, as its old path may be gone.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct move_options),
	.run = run,
};
