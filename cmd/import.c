/* kvmcrypt import: an existing LUKS volume, opened by its passphrase, into the keystore. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include <stdio.h>
#include <string.h>

struct import_options {
	const char *format, *header, *passphrase_file;
	int passphrase_fd;
	bool replace, dry_run;
};

static const char *const formats[] = { "qcow2", "raw", NULL };

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct import_options),
	{ "format", OPTION_CHOICE, offsetof(struct import_options, format), "FORMAT",
	  "qcow2 or raw (default: what the file's first bytes say)", formats, COMPLETE_NONE, 0 },
	{ "header", OPTION_TEXT, offsetof(struct import_options, header), "FILE",
	  "the volume's detached LUKS header, which gets the keyslot", NULL, COMPLETE_FILE, 0 },
	OPTION_PASSPHRASE(struct import_options, "the volume's passphrase"),
	{ "replace", OPTION_FLAG, offsetof(struct import_options, replace), NULL,
	  "destroy the keyslot of the given passphrase once the keystore's own is proven", NULL, COMPLETE_NONE,
	  0 },
	{ 0 },
};

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct import_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOSECRET struct secret *passphrase = NULL;
	bool existed = false;
	char prompt[512];
	(void)n;
	/* What cannot be opened at all needs no passphrase to say so. */
	struct image_look look;
	int r = image_look(o->header ? o->header : operands[0], &look, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	snprintf(prompt, sizeof(prompt), "Passphrase of %.400s", operands[0]);
	r = person_passphrase(ctx, o->passphrase_file, o->passphrase_fd, prompt, false, &passphrase, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	const struct volume_import p = {
		.path = operands[0],
		.header = o->header,
		.format = !o->format ? IMAGE_FORMAT_AUTO : strcmp(o->format, "qcow2") ? IMAGE_FORMAT_RAW :
											IMAGE_FORMAT_QCOW2,
		.passphrase = passphrase,
		.replace = o->replace,
		.dry_run = o->dry_run,
	};
	r = volume_import(&env, &p, &record, &existed, e);
	if (r < 0)
		return r;
	say(ctx, "%s %s: LUKS%u in %s",
	    o->dry_run ? "would import" : existed ? "is in the keystore already:" : "imported", record->path,
	    record->luks_version, record_format_name(record->format));
	return ctx->json ? output_object(ctx, volume_json(record), volume_show_columns, e) : 0;
}

static const struct operand_spec operands[] = { { "IMAGE", false, false, COMPLETE_FILE, NULL }, { 0 } };

const struct command command_import = {
	.name = "import",
	.summary = "take an existing LUKS volume into the keystore",
	.description = "Opens a LUKS volume (raw or qcow2) with its passphrase, adds a keyslot for a random "
		       "passphrase of the keystore and proves it. The given passphrase goes on working, unless "
		       "--replace.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct import_options),
	.run = run,
};
