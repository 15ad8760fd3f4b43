/* kvmcrypt resize: another size for a volume, also under a running guest. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "base/text.h"
#include "lib/workflow/resize.h"

struct resize_options {
	bool shrink, dry_run, shared_storage;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct resize_options),
	OPTION_SHARED_STORAGE(struct resize_options),
	{ "shrink", OPTION_FLAG, offsetof(struct resize_options, shrink), NULL,
	  "allow a smaller size, which cuts off what lies beyond it", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

/* libvirt is needed only where a guest may be running. */
static int connect_if_attached(struct context *ctx, const struct record *r, struct guest_connection **ret,
			       struct error *e)
{
	struct error why = { 0 };
	if (!r->n_domains && !ctx->connect)
		return 0;
	int result = environment_try_connect(ctx, ret, &why, e);
	if (result == 0 && !*ret)
		say_more(ctx, "%s", why.message);
	return result;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct resize_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct volume_resize p = { .shrink = o->shrink, .dry_run = o->dry_run };
	struct volume_resized done;
	char was[32], is[32];
	(void)n;
	int r = environment_size("resize", operands, &p.size, &p.more, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0)
		r = connect_if_attached(ctx, record, &g, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	r = volume_resize(&env, g, record->uuid, &p, &done, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s: %s, was %s%s%s",
	    !done.changed ? "has that size already:" : o->dry_run ? "would resize" : "resized", record->path,
	    text_size(done.size, is, sizeof(is)), text_size(done.old_size, was, sizeof(was)),
	    done.domain[0] ? "; told the running guest " : "", done.domain);
	if (!ctx->json)
		return 0;
	struct json_object *j = json_object_new_object();
	put_uuid(j, "uuid", record->uuid);
	put_text(j, "path", record->path);
	put_number(j, "old_size", done.old_size);
	put_number(j, "size", done.size);
	put_bool(j, "changed", done.changed);
	put_text(j, "domain", done.domain[0] ? done.domain : NULL);
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = {
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ "SIZE", false, false, COMPLETE_NONE, NULL },
	{ 0 },
};

const struct command command_resize = {
	.name = "resize",
	.summary = "give a volume another size",
	.description = "Makes VOLUME exactly SIZE for the guest, or with +SIZE so much larger, at rest or "
		       "while a guest runs with it. A smaller size is refused without --shrink. The file "
		       "system inside is the guest's to grow.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct resize_options),
	.run = run,
};
