/* kvmcrypt erase: crypto-erase of a volume: keyslots on disk, record, libvirt's secret, file. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "lib/serve/attach.h"
#include "lib/volume/users.h"

#include <stdio.h>
#include <unistd.h>

struct erase_options {
	bool keep_file, yes, dry_run, no_libvirt, damaged, missing;
};

static const struct option_spec options[] = {
	{ "damaged", OPTION_FLAG, offsetof(struct erase_options, damaged), NULL,
	  "go on when the image is damaged or another: destroy the record and its key, leave the file, in which "
	  "keyslots may remain", NULL, COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct erase_options),
	{ "keep-file", OPTION_FLAG, offsetof(struct erase_options, keep_file), NULL,
	  "leave the file (its keyslots are destroyed all the same)", NULL, COMPLETE_NONE, 0 },
	{ "missing", OPTION_FLAG, offsetof(struct erase_options, missing), NULL,
	  "go on when the image is not there: destroy the record and its key", NULL, COMPLETE_NONE, 0 },
	{ "no-libvirt", OPTION_FLAG, offsetof(struct erase_options, no_libvirt), NULL,
	  "do not ask libvirt whether a domain uses the volume, nor undefine its secret", NULL, COMPLETE_NONE,
	  0 },
	OPTION_YES(struct erase_options),
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct erase_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	char question[1200];
	bool destroyed = false;
	(void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r == 0)
		r = environment_connect_for(ctx, record, o->no_libvirt, &g, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	/* What would be refused is refused before anybody is asked. */
	struct volume_erase p = {
		.keep_file = o->keep_file, .damaged = o->damaged, .missing = o->missing, .dry_run = true
	};
	if ((r = volume_erase(&env, g, record->uuid, &p, &destroyed, e)) < 0)
		return r;
	p.dry_run = false;
	snprintf(question, sizeof(question), "This destroys every key of %.900s; its data cannot be read again.",
		 record->path);
	if (!o->dry_run && (r = person_confirm(o->yes, question, e)) < 0)
		return r;
	if (!o->dry_run && (r = volume_erase(&env, g, record->uuid, &p, &destroyed, e)) < 0)
		return r;
	say(ctx, "%s %s", o->dry_run ? "would erase" : destroyed ? "erased" : "destroyed the record of", record->path);
	if (!o->dry_run)
		say(ctx, "Copies of its LUKS header made before (backups, snapshots of the host's file system) still "
			 "open with the old key; the key itself is gone from this keystore.");
	if (!ctx->json)
		return 0;
	struct json_object *j = json_object_new_object();
	put_uuid(j, "uuid", record->uuid);
	put_text(j, "path", record->path);
	put_bool(j, "erased", !o->dry_run);
	put_bool(j, "keyslots_destroyed", destroyed);
	put_bool(j, "file_kept", o->keep_file || (!o->dry_run && access(record->path, F_OK) == 0));
	return output_object(ctx, j, NULL);
}

static const struct operand_spec operands[] = { { "VOLUME", false, false, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_erase = {
	.name = "erase",
	.summary = "destroy the keys of a volume, and its file",
	.description = "Overwrites the keyslots in the image, destroys the record with its sealed key, "
		       "undefines libvirt's secret and removes the file. After that nobody reads the data "
		       "again. A volume that a domain has as a disk is refused: detach it first. So is an "
		       "image that is damaged or is not the record's, as its keyslots cannot be destroyed, and "
		       "a volume whose re-encryption was interrupted, unless --damaged is given. A volume "
		       "whose image is not there needs --missing.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct erase_options),
	.run = run,
};
