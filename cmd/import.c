/* kvmcrypt import: an existing LUKS volume, opened by its passphrase, into the keystore. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct import_options {
	const char *format, *header, *passphrase_file, *key_file;
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
	OPTION_VOLUME_KEY_FILE(struct import_options, "the volume's passphrase"),
	OPTION_PASSPHRASE(struct import_options, "the volume's passphrase"),
	{ "replace", OPTION_FLAG, offsetof(struct import_options, replace), NULL,
	  "destroy the keyslot of the given passphrase once the keystore's own is proven", NULL, COMPLETE_NONE,
	  0 },
	{ 0 },
};

struct attempt {
	const struct volume_env *env;
	struct volume_import p;
	struct record *record;
	bool existed;
};

static int import_with(void *context, const struct secret *passphrase, struct error *e)
{
	struct attempt *a = context;
	a->p.passphrase = passphrase;
	return volume_import(a->env, &a->p, &a->record, &a->existed, e);
}

/* Would it open with the newline that an editor put at the end, or without it? */
static int hint_at_newline(const struct attempt *a, const struct import_options *o, const struct secret *key,
			   struct error *e)
{
	AUTOSECRET struct secret *other = NULL;
	struct attempt dry = *a;
	bool ends = key->data[key->len - 1] == '\n';
	if ((o->key_file && (!ends || key->len == 1)) || secret_new(key->len + 1, &other, NULL) < 0)
		return -e->err;
	memcpy(other->data, key->data, key->len);
	other->data[key->len] = '\n';
	other->len = o->key_file ? key->len - 1 : key->len + 1;
	dry.p.dry_run = true;
	if (import_with(&dry, other, NULL) < 0)
		return -e->err;
	record_free(dry.record);
	return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
			 o->key_file ? "%s: it opens without the newline at the end of the key: use --passphrase-file"
				     : "%s: it opens with a newline behind the passphrase: use --key-file",
			 a->p.path);
}

static int import(struct attempt *a, const struct import_options *o, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	const struct person_key opens = { .open = import_with, .context = a };
	char prompt[512];
	bool typed = !o->key_file && !o->passphrase_file && o->passphrase_fd < 0;
	snprintf(prompt, sizeof(prompt), "Passphrase of %.400s", a->p.path);
	if (typed)
		return person_open_with(NULL, -1, prompt, &opens, &key, e);
	int r = o->key_file ? person_volume_key_file(o->key_file, &key, e)
			    : person_passphrase(o->passphrase_file, o->passphrase_fd, prompt, false, &key, e);
	if (r == 0)
		r = import_with(a, key, e);
	return r < 0 && key && e->kind == ERROR_BAD_KEY ? hint_at_newline(a, o, key, e) : r;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct import_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct image_look look;
	struct error why = { 0 };
	bool known;
	(void)n;
	if (o->key_file && (o->passphrase_file || o->passphrase_fd >= 0))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "--key-file goes without --passphrase-file and --passphrase-fd");
	/* What cannot be opened at all needs no keystore and no passphrase to say so. */
	int r = image_look(o->header ? o->header : operands[0], &look, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0 && o->replace)
		r = environment_try_connect(ctx, &g, &why, e);
	if (r < 0)
		return r;
	if (why.kind)
		say_more(ctx, "%s", why.message);
	struct volume_env env = environment(ctx, ks);
	struct attempt a = { .env = &env, .p = {
		.path = operands[0],
		.header = o->header,
		.format = !o->format ? IMAGE_FORMAT_AUTO : strcmp(o->format, "qcow2") ? IMAGE_FORMAT_RAW :
											IMAGE_FORMAT_QCOW2,
		.replace = o->replace,
		.g = g,
		.dry_run = o->dry_run,
	} };
	r = volume_import_look(&env, &a.p, &known, e);
	if (r == 0)
		r = known && !o->replace ? import_with(&a, NULL, e) : import(&a, o, e);
	AUTORECORD struct record *record = a.record;
	if (r < 0)
		return r;
	say(ctx, "%s %s: LUKS%u in %s",
	    a.existed ? "is in the keystore already:" : o->dry_run ? "would import" : "imported", record->path,
	    record->luks_version, record_format_name(record->format));
	return ctx->json ? output_object(ctx, volume_json(record), volume_show_columns) : 0;
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
