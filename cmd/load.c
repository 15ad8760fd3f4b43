/* kvmcrypt load, unload: the keys of volumes into and out of libvirt, without touching domains. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>

struct load_options {
	bool all, dry_run;
};

static const struct option_spec options[] = {
	{ "all", OPTION_FLAG, offsetof(struct load_options, all), NULL, "every volume of the keystore", NULL,
	  COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct load_options),
	{ 0 },
};

static const struct column columns[] = {
	{ "path", "PATH", SHOW_PLAIN },	      { "secret.registered", "REGISTERED", SHOW_PLAIN },
	{ "changed", "CHANGED", SHOW_PLAIN }, { "error", "ERROR", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

struct walk {
	struct output_list *list;
	bool load, dry_run;
	struct error *e;
};

static int add_row(void *opaque, const struct volume_loaded *l)
{
	struct walk *w = opaque;
	struct json_object *row = json_object_new_object();
	bool failed = l->error.kind != ERROR_NONE;
	bool now = w->dry_run ? w->load != l->changed : w->load;
	put_uuid(row, "uuid", l->record->uuid);
	put_text(row, "path", l->record->path);
	volume_json_secret(row, l->record, failed ? -1 : now);
	put_bool(row, "changed", l->changed);
	put_text(row, "error", failed ? l->error.message : NULL);
	return output_list_add(w->list, row, w->e);
}

static int find_all(struct keystore *ks, char **operands, size_t n, uuid_t **ret, size_t *ret_n, struct error *e)
{
	uuid_t *uuids = calloc(n, sizeof(uuid_t));
	if (!uuids)
		return error_oom(e);
	for (size_t i = 0; i < n; i++) {
		AUTORECORD struct record *r = NULL;
		int result = volume_find(ks, operands[i], &r, e);
		if (result < 0) {
			free(uuids);
			return result;
		}
		uuid_copy(uuids[i], r->uuid);
	}
	*ret = uuids;
	*ret_n = n;
	return 0;
}

static int run(struct context *ctx, const struct load_options *o, char **operands, size_t n, bool load,
	       struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	AUTOFREE uuid_t *uuids = NULL;
	size_t n_uuids = 0;
	struct error damaged = { 0 };
	struct walk w = { .load = load, .dry_run = o->dry_run, .e = e };
	if (o->all == (n > 0))
		return error_set(e, ERROR_USAGE, EINVAL, "give either --all or the volumes");
	int r = load ? person_unsealed_keystore(ctx, &ks, e) : person_open_keystore(ctx, &ks, e);
	if (r == 0)
		r = o->all ? volume_all(ks, &uuids, &n_uuids, &damaged, e) :
			     find_all(ks, operands, n, &uuids, &n_uuids, e);
	if (r == 0)
		r = guest_connect(ctx->connect, &g, e);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &w.list, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	r = load ? volume_load(&env, g, uuids, n_uuids, o->dry_run, add_row, &w, e)
		 : volume_unload(&env, g, uuids, n_uuids, o->dry_run, add_row, &w, e);
	if (r == 0 && damaged.kind) {
		*e = damaged;
		r = -damaged.err;
	}
	return output_list_end(w.list, r, NULL, e);
}

static int run_load(struct context *ctx, void *o, char **operands, size_t n, struct error *e)
{
	return run(ctx, o, operands, n, true, e);
}

static int run_unload(struct context *ctx, void *o, char **operands, size_t n, struct error *e)
{
	return run(ctx, o, operands, n, false, e);
}

static const struct operand_spec operands[] = { { "VOLUME", true, true, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_load = {
	.name = "load",
	.summary = "register the secrets of volumes with libvirt",
	.description = "Gives libvirt the keys of the named volumes, or of all, so that guests that have them as "
		       "disks can start. A volume that fails does not stop the others.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct load_options),
	.run = run_load,
};

const struct command command_unload = {
	.name = "unload",
	.summary = "make libvirt forget the secrets of volumes",
	.description = "Undefines the secrets of the named volumes, or of all. A running guest goes on; its next "
		       "start fails until `kvmcrypt load`. Works while the keystore is sealed.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct load_options),
	.run = run_unload,
};
