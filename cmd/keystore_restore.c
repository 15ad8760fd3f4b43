/* kvmcrypt keystore restore: a backup in the place of the keystore. */
#include "base/file.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "lib/volume/volume.h"

struct restore_options {
	const char *expect_root;
	bool yes, dry_run;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct restore_options),
	OPTION_EXPECT_ROOT(struct restore_options),
	{ "yes", OPTION_FLAG, offsetof(struct restore_options, yes), NULL,
	  "replace the keystore even if records are lost by it", NULL, COMPLETE_NONE, 'y' },
	{ 0 },
};

static int output(struct context *ctx, const char *location, const char *file, const struct keystore_restored *d,
		  bool dry_run)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "path", location);
	put_text(o, "file", file);
	put_number(o, "volumes", d->volumes);
	put_number(o, "newer", d->newer);
	put_bool(o, "other_root_key", d->other_root);
	put_bool(o, "replaced", d->replaced);
	put_text(o, "kept", d->kept[0] ? d->kept : NULL);
	put_bool(o, "changed", !dry_run);
	return output_object(ctx, o, NULL);
}

/* A workflow in its middle would find another keystore at its end. */
static int lock_all(const char *location, int *ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error why = { 0 };
	/* None, or one that the restore will look at for itself. */
	return keystore_open_expecting(location, NULL, &ks, &why) < 0 ? 0 : volume_lock_all(ks, ret, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct restore_options *o = opaque;
	AUTOFREE char *location = NULL;
	AUTOFREE char *file = NULL;
	AUTOCLOSE int lock = -1;
	struct keystore_restored done;
	(void)n;
	int r = keystore_location(ctx->keystore, &location, e);
	if (r < 0 || (r = file_canonical(operands[0], &file, e)) < 0 ||
	    (!o->dry_run && (r = lock_all(location, &lock, e)) < 0) ||
	    (r = keystore_restore(location, file, o->yes, o->dry_run, o->expect_root, &done, e)) < 0)
		return r;
	say(ctx, "%s %llu volumes from %s to keystore %s", o->dry_run ? "would restore" : "restored",
	    (unsigned long long)done.volumes, file, location);
	if (done.kept[0])
		say(ctx, "The keystore that was there is in %s", done.kept);
	if (!o->dry_run)
		say(ctx, "Check it: `kvmcrypt unseal`, then `kvmcrypt keystore check`.");
	return ctx->json ? output(ctx, location, file, &done, o->dry_run) : 0;
}

static const struct operand_spec operands[] = { { "FILE", false, false, COMPLETE_FILE, NULL }, { 0 } };

const struct command command_keystore_restore = {
	.name = "keystore restore",
	.group = GROUP_KEYSTORE,
	.summary = "put a backup in the place of the keystore",
	.description = "Makes the keystore what it was when FILE was made by `kvmcrypt keystore backup`, or "
		       "makes one where there is none. Refused where records are newer than in the backup or "
		       "not in it, unless --yes is given; the keystore that was there is backed up into its "
		       "directory first.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct restore_options),
	.run = run,
};
