/* kvmcrypt keystore import: takes a bundle of another host in. */
#include "base/file.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BUNDLE_MAX (4u * 1024 * 1024)

struct import_options {
	const char *directory, *passphrase_file;
	int passphrase_fd;
	bool with_passphrase, dry_run;
};

#define OPT(field) offsetof(struct import_options, field)
static const struct option_spec options[] = {
	{ "directory", OPTION_TEXT, OPT(directory), "DIR", "the images lie in DIR here (default: where they were)",
	  NULL, COMPLETE_FILE, 0 },
	OPTION_DRY_RUN(struct import_options),
	{ "passphrase", OPTION_FLAG, OPT(with_passphrase), NULL, "ask for the bundle's passphrase", NULL, COMPLETE_NONE,
	  0 },
	OPTION_PASSPHRASE(struct import_options, "the bundle's passphrase"),
	{ 0 },
};

static const struct column columns[] = {
	{ "uuid", "UUID", SHOW_PLAIN },
	{ "path", "PATH", SHOW_PLAIN },
	{ "present", "IMAGE THERE", SHOW_PLAIN },
	{ "changed", "CHANGED", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

static int read_bundle(const char *file, unsigned char **ret, size_t *ret_len, struct error *e)
{
	uint64_t size = 0;
	AUTOCLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", file);
	int r = file_size(fd, file, &size, e);
	if (r < 0)
		return r;
	if (!size || size > BUNDLE_MAX)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is no bundle of a keystore", file);
	AUTOFREE unsigned char *data = malloc(size);
	if (!data)
		return error_oom(e);
	if ((r = file_pread(fd, data, size, 0, file, e)) < 0)
		return r;
	*ret = TAKE_PTR(data);
	*ret_len = size;
	return 0;
}

static int move_to(char **path, const char *directory, struct error *e)
{
	const char *base = *path ? strrchr(*path, '/') : NULL;
	char *moved = NULL;
	if (!base)
		return 0;
	if (asprintf(&moved, "%s%s", directory, base) < 0)
		return error_oom(e);
	free(*path);
	*path = moved;
	return 0;
}

static int place(struct record *r, const char *directory, struct error *e)
{
	int res = directory ? move_to(&r->path, directory, e) : 0;
	if (res == 0 && directory)
		res = move_to(&r->header_path, directory, e);
	if (res == 0 && directory)
		res = move_to(&r->backing, directory, e);
	return res;
}

static int take_in(struct keystore *ks, const struct import_options *o, const char *directory, struct record *r,
		   struct output_list *list, struct error *e)
{
	bool changed = false;
	int res = place(r, directory, e);
	if (res == 0)
		res = o->dry_run ? 0 : keystore_take_in(ks, r, &changed, e);
	if (res < 0)
		return error_prefix(e, "%s", r->path);
	struct json_object *row = json_object_new_object();
	put_uuid(row, "uuid", r->uuid);
	put_text(row, "path", r->path);
	put_bool(row, "present", access(r->path, F_OK) == 0);
	put_bool(row, "changed", changed);
	return output_list_add(list, row, e);
}

/* A failure does not stop the others: they may be needed at once. */
static int take_all(struct context *ctx, struct keystore *ks, const struct import_options *o, const char *directory,
		    struct record **records, size_t n, struct error *e)
{
	struct output_list *list = NULL;
	struct error first = { 0 };
	int r = output_list_begin(ctx, "volumes", columns, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct error why = { 0 };
		if (take_in(ks, o, directory, records[i], list, &why) < 0) {
			if (first.kind)
				say(ctx, "%s", first.message);
			first = why;
		}
	}
	if (first.kind)
		r = error_pass(e, &first);
	return output_list_end(list, r, NULL, e);
}

struct bundle {
	struct keystore *ks;
	unsigned char *data;
	size_t len;
	struct record **records;	/* what is in it, once it is open */
	size_t n;
};

static int open_bundle(void *context, const struct secret *passphrase, struct error *e)
{
	struct bundle *b = context;
	return keystore_open_bundle(b->ks, b->data, b->len, passphrase, &b->records, &b->n, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n_operands, struct error *e)
{
	const struct import_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOSECRET struct secret *passphrase = NULL;
	AUTOFREE unsigned char *bundle = NULL;
	AUTOFREE char *directory = NULL;
	struct bundle b = { 0 };
	const struct person_key opens = { .open = open_bundle, .context = &b };
	(void)n_operands;
	int r = read_bundle(operands[0], &bundle, &b.len, e);
	if (r == 0 && o->directory)
		r = file_canonical(o->directory, &directory, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	b.ks = ks;
	b.data = bundle;
	if (o->with_passphrase || o->passphrase_file || o->passphrase_fd >= 0)
		r = person_open_with(o->passphrase_file, o->passphrase_fd, "Passphrase of the bundle", &opens,
				     &passphrase, e);
	else
		r = open_bundle(&b, NULL, e);
	if (r < 0)
		return error_prefix(e, "%s", operands[0]);
	r = take_all(ctx, ks, o, directory, b.records, b.n, e);
	keystore_records_free(b.records, b.n);
	return r;
}

static const struct operand_spec operands[] = { { "FILE", false, false, COMPLETE_FILE, NULL }, { 0 } };

const struct command command_keystore_import = {
	.name = "keystore import",
	.group = GROUP_KEYSTORE,
	.summary = "take in the keys of volumes from another host",
	.description = "Stores the volumes of a bundle that `kvmcrypt keystore export` made on another host "
		       "for this keystore's certificate, or with a passphrase. The images are to lie where "
		       "they were, or in --directory. Volumes that are here already with the same keys are "
		       "left as they are.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct import_options),
	.run = run,
};
