/* kvmcrypt keyslot add: another way into one volume, for a person. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "lib/workflow/keyslot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct keyslot_add_options {
	const char *passphrase_file, *recovery_key, *key_file;
	int passphrase_fd;
	bool no_libvirt, yes, shared_storage;
};

static const struct option_spec options[] = {
	OPTION_VOLUME_KEY_FILE(struct keyslot_add_options, "the new passphrase"),
	OPTION_NO_LIBVIRT(struct keyslot_add_options, "do not ask libvirt whether a guest runs with the volume"),
	OPTION_PASSPHRASE(struct keyslot_add_options, "the new passphrase"),
	{ "recovery-key", OPTION_TEXT, offsetof(struct keyslot_add_options, recovery_key), "FILE",
	  "generate a recovery key and write it to the new FILE (- for stdout)", NULL, COMPLETE_FILE, 0 },
	OPTION_SHARED_STORAGE(struct keyslot_add_options),
	OPTION_YES(struct keyslot_add_options),
	{ 0 },
};

static int gather(const struct context *ctx, const struct keyslot_add_options *o, struct secret **ret, struct error *e)
{
	bool given = o->passphrase_file || o->passphrase_fd >= 0;
	if ((given && o->key_file) || (o->recovery_key && (given || o->key_file)))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "one keyslot at a time: a passphrase, --key-file or --recovery-key");
	if (o->key_file)
		return person_volume_key_file(o->key_file, ret, e);
	if (!o->recovery_key)
		return person_passphrase(o->passphrase_file, o->passphrase_fd, "New passphrase of the volume", true,
					 ret, e);
	if (!strcmp(o->recovery_key, "-") && ctx->json)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "a recovery key is never part of JSON: give --recovery-key a file");
	return keystore_generate_recovery(ret, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct keyslot_add_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	AUTOSECRET struct secret *key = NULL;
	bool to_file = o->recovery_key && strcmp(o->recovery_key, "-") != 0;
	bool existed = false;
	int slot;
	(void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0)
		r = environment_connect_for(ctx, record, o->no_libvirt, &g, e);
	if (r == 0)
		r = gather(ctx, o, &key, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	env.shared_storage = o->shared_storage;
	struct volume_keyslot_add p = {
		.passphrase = key,
		.recovery = o->recovery_key,
		.file = to_file ? o->recovery_key : NULL,
		.last = o->yes,
	};
	r = volume_keyslot_add(&env, g, record->uuid, &p, &slot, &existed, e);
	if (r < 0 && e->kind == ERROR_REFUSED && e->err == ENOSPC) {
		char question[sizeof(e->message)];
		snprintf(question, sizeof(question), "%s", e->message);
		p.last = true;
		r = person_confirm(false, question, e);
		if (r == 0)
			r = volume_keyslot_add(&env, g, record->uuid, &p, &slot, &existed, e);
	}
	if (r == 0 && o->recovery_key && !to_file)
		r = person_write_recovery(key, "-", e);
	if (r < 0)
		return r;
	say(ctx, existed ? "keyslot %d of %s opens with the key in the file already" : "added keyslot %d of %s", slot,
	    record->path);
	if (!ctx->json)
		return 0;
	struct json_object *j = json_object_new_object();
	put_uuid(j, "uuid", record->uuid);
	put_text(j, "path", record->path);
	put_number(j, "slot", (uint64_t)slot);
	put_bool(j, "changed", !existed);
	put_text(j, "owner", o->recovery_key ? "recovery" : "other");
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_keyslot_add = {
	.name = "keyslot add",
	.group = GROUP_KEYS,
	.summary = "add a passphrase of a person, or a recovery key, to a volume",
	.description = "Adds a LUKS keyslot that opens VOLUME without this keystore: with a passphrase (asked twice "
		       "without an option; its key derivation is slow on purpose), or with a generated recovery key. "
		       "`kvmcrypt rotate` leaves it alone, but needs a free keyslot: the last one is only taken "
		       "when that is confirmed.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct keyslot_add_options),
	.run = run,
};
