/* kvmcrypt keystore export: the keys of volumes for another host. */
#include "base/file.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct export_options {
	const char *output, *to, *passphrase_file;
	int passphrase_fd;
	bool all, sign;
};

#define OPT(field) offsetof(struct export_options, field)
static const struct option_spec options[] = {
	{ "all", OPTION_FLAG, OPT(all), NULL, "every volume", NULL, COMPLETE_NONE, 'a' },
	{ "output", OPTION_TEXT, OPT(output), "FILE", "write the bundle to the new FILE", NULL, COMPLETE_FILE, 'o' },
	OPTION_PASSPHRASE(struct export_options, "the bundle's passphrase"),
	{ "sign", OPTION_FLAG, OPT(sign), NULL,
	  "sign the bundle, for `keystore import --from` with this keystore's certificate", NULL, COMPLETE_NONE, 0 },
	{ "to", OPTION_TEXT, OPT(to), "FILE",
	  "encrypt to this certificate, from `kvmcrypt keystore certificate` on the other host", NULL, COMPLETE_FILE,
	  0 },
	{ 0 },
};

static int get_records(const struct context *ctx, struct keystore *ks, const struct export_options *o, char **operands,
		       size_t n, struct record ***ret, size_t *ret_n, struct error *e)
{
	AUTOVOLUMES struct volume_list volumes = { 0 };
	size_t i = 0;
	int r = volumes_chosen(ctx, ks, o->all, operands, n, NULL, &volumes, e);
	/* A bundle of all is of all. */
	if (r == 0 && volumes.damaged.kind)
		r = error_pass(e, &volumes.damaged);
	if (r < 0)
		return r;
	size_t count = volumes.n;
	struct record **records = calloc(count ? count : 1, sizeof(*records));
	if (!records)
		return error_oom(e);
	while (i < count && r == 0)
		if ((r = keystore_get(ks, volumes.uuids[i], &records[i], e)) == 0)
			i++;
	if (r == 0 && !count)
		r = error_set(e, ERROR_NOT_FOUND, ENOENT, "there is no volume to export");
	if (r < 0) {
		keystore_records_free(records, i);
		return r;
	}
	*ret = records;
	*ret_n = count;
	return 0;
}

static int write_bundle(struct keystore *ks, const struct export_options *o, struct record **records,
			size_t n, struct error *e)
{
	AUTOSECRET struct secret *passphrase = NULL;
	AUTOFREE char *certificate = NULL;
	AUTOFREE unsigned char *bundle = NULL;
	size_t len = 0;
	int r = o->to ? person_certificate(o->to, &certificate, e)
		      : person_passphrase(o->passphrase_file, o->passphrase_fd, "Passphrase for the bundle", true,
					  &passphrase, e);
	if (r < 0 || (r = keystore_export(ks, records, n, passphrase, certificate, o->sign, &bundle,
					       &len, e)) < 0)
		return r;
	return file_write_atomic(o->output, bundle, len, 0600, false, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct export_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct record **records = NULL;
	size_t count = 0;
	if (!o->output)
		return error_set(e, ERROR_USAGE, EINVAL, "--output is missing: the file for the bundle");
	if (o->to && (o->passphrase_file || o->passphrase_fd >= 0))
		return error_set(e, ERROR_USAGE, EINVAL, "a bundle is for a certificate or a passphrase, not both");
	if (access(o->output, F_OK) == 0)
		return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", o->output);
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0 || (r = get_records(ctx, ks, o, operands, n, &records, &count, e)) < 0)
		return r;
	r = write_bundle(ks, o, records, count, e);
	if (r == 0)
		say(ctx, "exported %zu volume%s to %s; the images themselves go another way", count,
		    count == 1 ? "" : "s", o->output);
	if (r == 0 && ctx->json) {
		struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
		for (size_t i = 0; i < count; i++) {
			struct json_object *row = json_object_new_object();
			put_uuid(row, "uuid", records[i]->uuid);
			put_text(row, "path", records[i]->path);
			json_object_array_add(list, row);
		}
		put_text(doc, "file", o->output);
		json_object_object_add(doc, "volumes", list);
		r = output_object(ctx, doc, NULL);
	}
	keystore_records_free(records, count);
	return r;
}

static const struct operand_spec operands[] = { { "VOLUME", true, true, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_keystore_export = {
	.name = "keystore export",
	.group = GROUP_KEYSTORE,
	.summary = "take the keys of volumes to another host",
	.description = "Writes the records of the volumes, keys included, to a bundle that only the other "
		       "host's keystore (--to) or who has the passphrase can open. Take it there with the "
		       "images, and run `kvmcrypt keystore import`. With --sign the other side can tell who "
		       "made it. The volumes stay in this keystore too.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct export_options),
	.run = run,
};
