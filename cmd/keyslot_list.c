/* kvmcrypt keyslot list: what opens a volume. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

static const struct column columns[] = {
	{ "slot", "SLOT", SHOW_PLAIN },	    { "state", "STATE", SHOW_PLAIN },
	{ "owner", "OWNER", SHOW_PLAIN },   { "kdf", "KDF", SHOW_PLAIN },
	{ "iterations", "ITERATIONS", SHOW_PLAIN }, { NULL, NULL, SHOW_PLAIN },
};

static int add_rows(struct output_list *list, struct json_object *slots)
{
	int r = 0;
	for (size_t i = 0; i < json_object_array_length(slots) && r == 0; i++)
		r = output_list_add(list, json_object_get(json_object_array_get_idx(slots, i)));
	json_object_put(slots);
	return r;
}

static int run(struct context *ctx, void *options, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	struct output_list *list = NULL;
	struct volume_state state;
	(void)options, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	/* Sealed: everything but which keyslot is ours. */
	bool unsealed = keystore_unseal_auto(ks, NULL) == 0;
	r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0 && unsealed)
		r = keystore_reveal(ks, &record, 1, "show", NULL, e);
	if (r == 0)
		r = volume_look(record, &state, e);
	if (r == 0 && !state.have_info)
		r = error_set(e, state.condition == VOLUME_MISSING ? ERROR_NOT_FOUND : ERROR_DAMAGED, 0, "%s",
			      state.problem);
	if (r == 0)
		r = output_list_begin(ctx, "keyslots", columns, &list, e);
	if (r < 0)
		return r;
	return output_list_end(list, add_rows(list, volume_json_keyslots(record, &state)), NULL, e);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_keyslot_list = {
	.name = "keyslot list",
	.group = GROUP_KEYS,
	.summary = "list the keyslots of a volume and whose they are",
	.description = "Lists the LUKS keyslots of VOLUME: kvmcrypt's own, recovery keys that kvmcrypt made, "
		       "and others. While the keystore is sealed, which one is its own is not known.",
	.operands = operands,
	.run = run,
};
