/* kvmcrypt keystore log: the audit trail. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "lib/volume/volume.h"

#include <stdio.h>

struct log_options {
	uint64_t last;
	const char *volume;
};

#define OPT(field) offsetof(struct log_options, field)
static const struct option_spec options[] = {
	{ "last", OPTION_NUMBER, OPT(last), "N", "only the newest N rows", NULL, COMPLETE_NONE, 0 },
	{ "volume", OPTION_TEXT, OPT(volume), "VOLUME",
	  "only rows of this volume: a path, or a UUID, also of one that was erased", NULL, COMPLETE_VOLUME, 0 },
	{ 0 },
};

static const struct column columns[] = {
	{ "seq", "SEQ", SHOW_PLAIN },	    { "time", "TIME", SHOW_PLAIN },
	{ "uid", "UID", SHOW_PLAIN },	    { "pid", "PID", SHOW_PLAIN },
	{ "action", "ACTION", SHOW_PLAIN }, { "volume", "VOLUME", SHOW_PLAIN },
	{ "detail", "DETAIL", SHOW_PLAIN }, { NULL, NULL, SHOW_PLAIN },
};

struct walk {
	struct output_list *list;
};

static int add_row(void *opaque, const struct audit_row *row)
{
	struct walk *w = opaque;
	struct json_object *o = json_object_new_object();
	put_number(o, "seq", row->seq);
	put_time(o, "time", row->when);
	put_number(o, "uid", row->uid);
	put_number(o, "pid", (uint64_t)row->pid);
	put_text(o, "action", row->action);
	put_text(o, "volume", row->volume);
	put_text(o, "detail", row->detail);
	int ret = output_list_add(w->list, o);
	return ret == 0 && output_is_lost() ? 1 : ret;
}

/* A UUID as it is, since the volume may be gone; a path through the store. */
static int parse_volume(const struct context *ctx, struct keystore *ks, const char *text, uuid_t ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	if (uuid_parse(text, ret) == 0)
		return 0;
	int result = environment_find(ctx, ks, text, &r, e);
	if (result == 0)
		uuid_copy(ret, r->uuid);
	return result;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct log_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct walk w = { 0 };
	uuid_t volume;
	(void)operands, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0 || (o->volume && (r = parse_volume(ctx, ks, o->volume, volume, e)) < 0) ||
	    (r = output_list_begin(ctx, "rows", columns, &w.list, e)) < 0)
		return r;
	if (o->volume)
		r = keystore_audit_each_of(ks, volume, o->last, add_row, &w, e);
	else
		r = keystore_audit_each(ks, 0, o->last, add_row, &w, e);
	return output_list_end(w.list, r > 0 ? 0 : r, NULL, e);
}

const struct command command_keystore_log = {
	.name = "keystore log",
	.group = GROUP_KEYSTORE,
	.summary = "show the audit trail",
	.description = "Shows who did what with the keystore, oldest row first. Works while it is sealed; whether the "
		       "rows are genuine is for `kvmcrypt keystore check` to say.",
	.options = options,
	.options_size = sizeof(struct log_options),
	.run = run,
};
