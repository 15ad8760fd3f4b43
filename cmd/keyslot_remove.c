/* kvmcrypt keyslot remove: destroys a keyslot that is not ours. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "lib/workflow/keyslot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct keyslot_remove_options {
	bool yes, no_libvirt, shared_storage;
};

static const struct option_spec options[] = {
	OPTION_NO_LIBVIRT(struct keyslot_remove_options, "do not ask libvirt whether a guest runs with the volume"),
	OPTION_SHARED_STORAGE(struct keyslot_remove_options),
	OPTION_YES(struct keyslot_remove_options),
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct keyslot_remove_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	char question[1100], *end;
	(void)n;
	long slot = strtol(operands[1], &end, 10);
	if (!*operands[1] || *end || slot < 0 || slot >= LUKS_KEYSLOTS_MAX)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "'%s' is not the number of a keyslot (see `kvmcrypt keyslot list`)", operands[1]);
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r < 0)
		return r;
	snprintf(question, sizeof(question),
		 "This destroys keyslot %ld of %.900s; what it was made for opens the volume no more.", slot,
		 record->path);
	if ((r = environment_connect_for(ctx, record, o->no_libvirt, &g, e)) < 0 ||
	    (r = person_confirm(o->yes, question, e)) < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	r = volume_keyslot_remove(&env, g, record->uuid, (int)slot, e);
	if (r < 0)
		return r;
	say(ctx, "destroyed keyslot %ld of %s", slot, record->path);
	if (!ctx->json)
		return 0;
	struct json_object *j = json_object_new_object();
	put_uuid(j, "uuid", record->uuid);
	put_text(j, "path", record->path);
	put_number(j, "slot", (uint64_t)slot);
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = {
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ "SLOT", false, false, COMPLETE_NONE, NULL },
	{ 0 },
};

const struct command command_keyslot_remove = {
	.name = "keyslot remove",
	.group = GROUP_KEYS,
	.summary = "destroy a keyslot of a volume that is not kvmcrypt's own",
	.description = "Destroys the LUKS keyslot number SLOT of VOLUME, once the keystore's own passphrase "
		       "was seen to open it. kvmcrypt's own keyslot is refused: `kvmcrypt rotate` replaces "
		       "that one.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct keyslot_remove_options),
	.run = run,
};
