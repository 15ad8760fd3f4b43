/* kvmcrypt show: one volume, its image, its keyslots, its guests. Writes nothing to the image. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "lib/guest/secret.h"

#include <errno.h>

struct show_options {
	bool no_libvirt;
};

static const struct option_spec options[] = {
	{ "no-libvirt", OPTION_FLAG, offsetof(struct show_options, no_libvirt), NULL,
	  "do not ask libvirt whether it has the secret", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

/* Of guests of this host's; null where that cannot be seen. */
static void show_exposed(struct context *ctx, const struct record *r, const struct guest_connection *g,
			 struct json_object *j)
{
	struct json_object *array = json_object_new_array();
	bool known = !g || g->local;
	for (size_t i = 0; known && i < r->n_domains; i++)
		known = attached_exposed(ctx, r->domains[i].name, array);
	if (!known)
		json_object_put(array);
	json_object_object_add(j, "exposed", known ? array : NULL);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct volume_state state;
	struct volume_mapping mapping;
	struct error why = { 0 };
	const struct show_options *o = opaque;
	(void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	/* Sealed: everything but which keyslot is ours. */
	bool unsealed = keystore_unseal_auto(ks, &why) == 0;
	if (!unsealed && why.err == ENOMEM)
		return error_pass(e, &why);
	r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0 && unsealed)
		r = keystore_peek(ks, record, e);
	if (r == 0)
		r = volume_look(record, &state, e);
	if (r == 0)
		r = volume_mapping(record, &mapping, e);
	if (r == 0 && !o->no_libvirt)
		r = environment_try_connect(ctx, &g, &why, e);
	if (r < 0)
		return r;
	if (!g && !o->no_libvirt)
		say_more(ctx, "%s", why.message);
	struct json_object *j = volume_json_mapping(volume_json_full(record, &state), &mapping);
	volume_json_export(j, ks, record);
	int registered = g ? guest_secret_exists(g, record->uuid, &why) : -1;
	if (g && registered < 0)
		say_more(ctx, "%s", why.message);
	volume_json_secret(j, record, registered);
	show_exposed(ctx, record, g, j);
	return output_object(ctx, j, volume_show_columns);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_show = {
	.name = "show",
	.summary = "show a volume: its image, keyslots, age and guests",
	.description = "Shows what the keystore knows of VOLUME (a path or a UUID) and what its image says. Never "
		       "writes to the image. While the keystore is sealed, whose keyslot is whose is not known.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct show_options),
	.run = run,
};
