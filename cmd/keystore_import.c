/* kvmcrypt keystore import: takes a bundle of another host in. */
#include "base/file.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/volume/arrive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BUNDLE_MAX (4u * 1024 * 1024)

struct import_options {
	const char *directory, *from, *passphrase_file;
	int passphrase_fd;
	bool with_passphrase, dry_run, yes;
};

#define OPT(field) offsetof(struct import_options, field)
static const struct option_spec options[] = {
	{ "directory", OPTION_TEXT, OPT(directory), "DIR", "the images lie in DIR here (default: where they were)",
	  NULL, COMPLETE_FILE, 0 },
	OPTION_DRY_RUN(struct import_options),
	{ "from", OPTION_TEXT, OPT(from), "FILE",
	  "only if the keystore of this certificate signed it (`keystore certificate` there, `keystore export --sign`)",
	  NULL, COMPLETE_FILE, 0 },
	{ "passphrase", OPTION_FLAG, OPT(with_passphrase), NULL, "ask for the bundle's passphrase", NULL, COMPLETE_NONE,
	  0 },
	OPTION_PASSPHRASE(struct import_options, "the bundle's passphrase"),
	OPTION_YES(struct import_options),
	{ 0 },
};

static const struct column columns[] = {
	{ "uuid", "UUID", SHOW_PLAIN },
	{ "path", "PATH", SHOW_PLAIN },
	{ "present", "IMAGE THERE", SHOW_PLAIN },
	{ "changed", "CHANGED", SHOW_PLAIN },
	{ "sender", "SENDER", SHOW_PLAIN },
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

struct bundle {
	struct keystore *ks;
	unsigned char *data;
	size_t len;
	const char *from;		/* the certificate's text, or NULL */
	const char *sender;		/* as JSON says it */
	struct record **records;	/* what is in it, once it is open */
	struct error *problems;		/* of each: kind 0 if it can be taken in */
	bool *present, *known;		/* its image is there; the keystore has the volume, so that nothing comes in */
	size_t n;
};

static void bundle_clear(struct bundle *b)
{
	keystore_records_free(b->records, b->n);
	free(b->problems);
	free(b->present);
	free(b->known);
	free(b->data);
}

/* Everything that is wrong with them is known before anybody is asked. */
static int check_all(struct bundle *b, const char *directory, struct error *e)
{
	b->problems = calloc(b->n, sizeof(*b->problems));
	b->present = calloc(b->n, sizeof(*b->present));
	b->known = calloc(b->n, sizeof(*b->known));
	if (!b->problems || !b->present || !b->known)
		return error_oom(e);
	for (size_t i = 0; i < b->n; i++) {
		struct error *why = &b->problems[i];
		AUTORECORD struct record *there = NULL;
		int r = place(b->records[i], directory, why);
		b->known[i] = r == 0 && keystore_get(b->ks, b->records[i]->uuid, &there, NULL) == 0;
		b->present[i] = b->known[i] && access(there->path, F_OK) == 0;
		if (r == 0 && !b->known[i])
			r = volume_arrive(b->records[i], &b->present[i], why);
		if (r < 0)
			error_prefix(why, "%s", b->records[i]->path);
	}
	return 0;
}

/* Anybody can make a bundle: nobody's word is taken for who he is, or where on this host something is to be. */
static int confirm(const struct import_options *o, const struct bundle *b, const char *file, struct error *e)
{
	char question[1200], paths[800] = "";
	bool unknown = !strcmp(b->sender, "unknown");
	size_t at = 0, n = 0;
	for (size_t i = 0; i < b->n; i++) {
		if (b->problems[i].kind || b->known[i] || (b->present[i] && !unknown))
			continue;
		if (at < sizeof(paths))
			at += (size_t)snprintf(paths + at, sizeof(paths) - at, "%s%s", n ? ", " : "",
					       b->records[i]->path);
		n++;
	}
	if (o->dry_run || !n || (!unknown && o->directory))
		return 0;
	snprintf(question, sizeof(question), "%.200s: %s. Volumes will be %s %s%s", file,
		 unknown ? "its sender is not known (--from CERTIFICATE tells)"
			 : "its sender alone says where its volumes lie (--directory says so, too)",
		 o->directory ? "in" : "at", paths, at >= sizeof(paths) ? "…" : ".");
	return person_confirm(o->yes, question, e);
}

static int take_in(const struct import_options *o, struct bundle *b, size_t i, struct output_list *list,
		   struct error *e)
{
	struct record *r = b->records[i];
	bool changed = false;
	if (b->problems[i].kind)
		return error_pass(e, &b->problems[i]);
	int res = o->dry_run ? 0 : keystore_take_in(b->ks, r, &changed, e);
	if (res < 0)
		return error_prefix(e, "%s", r->path);
	struct json_object *row = json_object_new_object();
	put_uuid(row, "uuid", r->uuid);
	put_text(row, "path", r->path);
	put_bool(row, "present", b->present[i]);
	put_bool(row, "changed", changed);
	put_text(row, "sender", b->sender);
	return output_list_add(list, row);
}

/* A failure does not stop the others: they may be needed at once. */
static int take_all(struct context *ctx, const struct import_options *o, struct bundle *b, struct error *e)
{
	struct output_list *list = NULL;
	struct error first = { 0 };
	int r = output_list_begin(ctx, "volumes", columns, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->n; i++) {
		struct error why = { 0 };
		if (take_in(o, b, i, list, &why) < 0) {
			if (first.kind)
				say(ctx, "%s", first.message);
			first = why;
		}
	}
	if (first.kind)
		r = error_pass(e, &first);
	return output_list_end(list, r, NULL, e);
}

static int open_bundle(void *context, const struct secret *passphrase, struct error *e)
{
	struct bundle *b = context;
	return keystore_open_bundle(b->ks, b->data, b->len, passphrase, b->from, &b->records, &b->n, e);
}

/* A certificate by --from; who has the passphrase was told it by the sender. */
static int open_any(const struct import_options *o, struct bundle *b, struct error *e)
{
	AUTOSECRET struct secret *passphrase = NULL;
	const struct person_key opens = { .open = open_bundle, .context = b };
	bool with = o->with_passphrase || o->passphrase_file || o->passphrase_fd >= 0;
	b->sender = b->from ? "certificate" : with ? "passphrase" : "unknown";
	return with ? person_open_with(o->passphrase_file, o->passphrase_fd, "Passphrase of the bundle", &opens,
				       &passphrase, e)
		    : open_bundle(b, NULL, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n_operands, struct error *e)
{
	const struct import_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOFREE char *directory = NULL;
	AUTOFREE char *from = NULL;
	CLEANUP(bundle_clear) struct bundle b = { 0 };
	(void)n_operands;
	int r = read_bundle(operands[0], &b.data, &b.len, e);
	if (r == 0 && o->directory)
		r = file_canonical(o->directory, &directory, e);
	if (r == 0 && o->from)
		r = person_certificate(o->from, &from, e);
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	b.ks = ks;
	b.from = from;
	r = open_any(o, &b, e);
	if (r < 0)
		return error_prefix(e, "%s", operands[0]);
	r = check_all(&b, directory, e);
	if (r == 0)
		r = confirm(o, &b, operands[0], e);
	return r < 0 ? r : take_all(ctx, o, &b, e);
}

static const struct operand_spec operands[] = { { "FILE", false, false, COMPLETE_FILE, NULL }, { 0 } };

const struct command command_keystore_import = {
	.name = "keystore import",
	.group = GROUP_KEYSTORE,
	.summary = "take in the keys of volumes from another host",
	.description = "Stores the volumes of a bundle that `kvmcrypt keystore export` made on another host "
		       "for this keystore's certificate, or with a passphrase. The images are to lie where "
		       "they were, or in --directory. Volumes that are here already with the same keys are "
		       "left as they are. Anybody can make a bundle for a certificate: without --from the sender "
		       "is not known, and without --directory only he says where the volumes lie, so that each is "
		       "asked about (or --yes).",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct import_options),
	.run = run,
};
