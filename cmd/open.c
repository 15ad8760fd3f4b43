/* kvmcrypt open: a volume as a block device of this host, or served by qemu-storage-daemon. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "lib/serve/export.h"
#include "lib/serve/open.h"

#include <errno.h>
#include <string.h>

struct open_options {
	bool readonly, discard, no_read_workqueue, no_write_workqueue, persistent, dry_run, writable;
	const char *export;
};

static const char *const exports[] = { "fuse", "nbd", NULL };

#define OPT(field) offsetof(struct open_options, field)
static const struct option_spec options[] = {
	{ "discard", OPTION_FLAG, OPT(discard), NULL,
	  "pass discards on: saves space, but shows which blocks are unused", NULL, COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct open_options),
	{ "export", OPTION_CHOICE, OPT(export), "TYPE",
	  "serve the contents of a volume of any format, read-only: fuse as the file NAME, nbd on the socket NAME",
	  exports, COMPLETE_NONE, 0 },
	{ "no-read-workqueue", OPTION_FLAG, OPT(no_read_workqueue), NULL,
	  "decrypt at once instead of in a queue: faster on fast disks", NULL, COMPLETE_NONE, 0 },
	{ "no-write-workqueue", OPTION_FLAG, OPT(no_write_workqueue), NULL,
	  "encrypt at once instead of in a queue", NULL, COMPLETE_NONE, 0 },
	{ "persistent", OPTION_FLAG, OPT(persistent), NULL,
	  "store --discard and the workqueue options in the LUKS2 header, for every later opening", NULL,
	  COMPLETE_NONE, 0 },
	{ "readonly", OPTION_FLAG, OPT(readonly), NULL, "refuse writes (the default of --export)", NULL,
	  COMPLETE_NONE, 0 },
	{ "writable", OPTION_FLAG, OPT(writable), NULL, "with --export: allow writes", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

static unsigned flags_of(const struct open_options *o)
{
	return (o->readonly ? MAPPING_READONLY : 0u) | (o->discard ? MAPPING_DISCARD : 0u) |
	       (o->no_read_workqueue ? MAPPING_NO_READ_WORKQUEUE : 0u) |
	       (o->no_write_workqueue ? MAPPING_NO_WRITE_WORKQUEUE : 0u);
}

static int check_options(const struct open_options *o, size_t n, struct error *e)
{
	if (o->export && (flags_of(o) & ~(unsigned)MAPPING_READONLY || o->persistent))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "--export goes with --readonly, --writable and --dry-run only; the others are for "
				 "dm-crypt");
	if (o->export && n < 2)
		return error_set(e, ERROR_USAGE, EINVAL, "--export %s needs a %s behind the volume", o->export,
				 strcmp(o->export, "fuse") ? "socket path" : "file to show the contents as");
	if (o->writable && (!o->export || o->readonly))
		return error_set(e, ERROR_USAGE, EINVAL, "--writable is for --export, and excludes --readonly");
	return 0;
}

static int run_export(struct context *ctx, const struct open_options *o, struct keystore *ks, struct record *record,
		      const char *target, struct error *e)
{
	bool changed;
	struct volume_env env = environment(ctx, ks);
	const struct volume_export p = {
		.type = strcmp(o->export, "fuse") ? EXPORT_NBD : EXPORT_FUSE,
		.target = target,
		.writable = o->writable,
		.dry_run = o->dry_run,
	};
	int r = volume_export(&env, record, &p, &changed, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s at %s (%s, %s)",
	    !changed	 ? "is exported already:"
	    : o->dry_run ? "would export"
			 : "exported",
	    record->path, target, o->export, o->writable ? "writable" : "read-only");
	return ctx->json ? output_object(ctx, volume_json_export(volume_json(record), ks, record), NULL) : 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct open_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	struct volume_opened opened;
	struct volume_mapping mapping;
	int r = check_options(o, n, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0)
		r = environment_find(ctx, ks, operands[0], &record, e);
	if (r < 0)
		return r;
	if (o->export)
		return run_export(ctx, o, ks, record, operands[1], e);
	struct volume_env env = environment(ctx, ks);
	const struct volume_open p = {
		.name = n > 1 ? operands[1] : NULL,
		.flags = flags_of(o),
		.persistent = o->persistent,
		.dry_run = o->dry_run,
	};
	r = volume_open(&env, record, &p, &opened, e);
	if (r == 0)
		r = volume_mapping(record, &mapping, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s as /dev/mapper/%s%s",
	    !opened.changed ? "is open already:" : o->dry_run ? "would open" : "opened", record->path, opened.name,
	    o->readonly ? ", read-only" : "");
	return ctx->json ? output_object(ctx, volume_json_mapping(volume_json(record), &mapping), NULL) : 0;
}

static const struct operand_spec operands[] = {
	{ "VOLUME", false, false, COMPLETE_VOLUME, NULL },
	{ "NAME", true, false, COMPLETE_FILE, NULL },
	{ 0 },
};

const struct command command_open = {
	.name = "open",
	.summary = "make the contents of a volume visible on this host",
	.description = "Makes the plaintext of a raw volume (LUKS1 or LUKS2, file or block device) a block device of "
		       "this host, through dm-crypt. Without NAME it is called after the volume's file. A volume that "
		       "is open already is no error. With --export, a volume of any format is served by "
		       "qemu-storage-daemon instead, which needs no device-mapper.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct open_options),
	.run = run,
};
