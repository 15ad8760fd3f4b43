/* kvmcrypt harden: writes what mends the findings of `kvmcrypt check`, and takes it back. */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/posture/harden/harden.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct harden_options {
	const char *root;
	bool dry_run, undo, yes;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct harden_options),
	{ "root", OPTION_TEXT, offsetof(struct harden_options, root), "DIR",
	  "the file system of a host that does not run, below DIR", NULL, COMPLETE_FILE, 0 },
	{ "undo", OPTION_FLAG, offsetof(struct harden_options, undo), NULL, "put back what was there before", NULL,
	  COMPLETE_NONE, 0 },
	OPTION_YES(struct harden_options),
	{ 0 },
};

static const struct operand_spec operands_of_harden[] = {
	{ "TOPIC|ID", true, true, COMPLETE_NONE, NULL },
	{ 0 },
};

static const struct {
	const char *name, *heading;
} moments[] = {
	[HARDEN_NOW] = { "now", "In force now" },
	[HARDEN_RELOAD] = { "reload",
			    "When the service is started or reloaded (augenrules --load; systemctl daemon-reload)" },
	[HARDEN_DAEMON] = { "daemon", "When libvirt's daemon starts anew (then: kvmcrypt load --all)" },
	[HARDEN_GUEST] = { "guest",
			   "When libvirt's daemon has started anew (then: kvmcrypt load --all), at each guest's next "
			   "start" },
};

static struct json_object *to_json(const struct harden_report *r, bool dry_run)
{
	struct json_object *o = json_object_new_object(), *changes = json_object_new_array(),
			   *left = json_object_new_array();
	for (size_t i = 0; i < r->n; i++) {
		const struct harden_change *c = &r->changes[i];
		struct json_object *one = json_object_new_object();
		put_text(one, "id", c->check ? c->check->id : NULL);
		put_text(one, "when", moments[c->when].name);
		put_text(one, "path", c->path);
		put_text(one, "what", c->what);
		json_object_array_add(changes, one);
	}
	for (size_t i = 0; i < r->n_left; i++) {
		struct json_object *one = json_object_new_object();
		put_text(one, "id", r->left[i]->id);
		put_text(one, "mend", r->left[i]->mend);
		json_object_array_add(left, one);
	}
	put_bool(o, "dry_run", dry_run);
	put_bool(o, "changed", r->n && !dry_run);
	json_object_object_add(o, "changes", changes);
	json_object_object_add(o, "left", left);
	return o;
}

static void print_moment(const struct harden_report *r, enum harden_when when, bool undo)
{
	bool first = true;
	for (size_t i = 0; i < r->n; i++) {
		const struct harden_change *c = &r->changes[i];
		if (c->when != when)
			continue;
		if (first && !undo)
			printf("%s:\n", moments[when].heading);
		first = false;
		printf("  %s%s%s: %s\n", c->check ? c->check->id : "", c->check ? "  " : "", c->path, c->what);
	}
}

static void show(struct context *ctx, const struct harden_report *r, const struct harden_options *o)
{
	if (ctx->json)
		output_object(ctx, to_json(r, o->dry_run), NULL);
	if (ctx->json || ctx->quiet)
		return;
	for (size_t when = 0; when < sizeof(moments) / sizeof(*moments); when++)
		print_moment(r, (enum harden_when)when, o->undo);
	if (r->n_left)
		printf("Left for a person:\n");
	for (size_t i = 0; i < r->n_left; i++)
		printf("  %s  %s\n", r->left[i]->id, r->left[i]->mend);
	if (!r->n)
		say(ctx, "nothing was to be changed");
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct harden_options *o = opaque;
	AUTOHARDEN struct harden_report report = { 0 }, planned = { 0 };
	if (o->undo && n)
		return error_set(e, ERROR_USAGE, EINVAL, "--undo puts everything back, and takes no TOPIC or ID");
	const struct harden_params p = { .root = o->root,
					 .connect = ctx->connect,
					 .keystore = ctx->keystore,
					 .which = operands,
					 .n_which = n,
					 .dry_run = o->dry_run };
	/* What is asked is what will be done: it is looked at first. */
	struct harden_params plan = p;
	plan.dry_run = true;
	int r = o->undo ? harden_undo(o->root, true, &planned, e) : harden_run(&plan, &planned, e);
	if (r < 0)
		return r;
	if (planned.n && !o->dry_run) {
		char question[160];
		snprintf(question, sizeof(question),
			 "This changes %zu settings of this host (--dry-run shows them, --undo "
			 "puts all back).",
			 planned.n);
		r = person_confirm(o->yes, question, e);
		if (r < 0)
			return r;
	}
	r = o->undo ? harden_undo(o->root, o->dry_run, &report, e) : harden_run(&p, &report, e);
	if (report.n || r == 0)
		show(ctx, &report, o);
	return r;
}

const struct command command_harden = {
	.name = "harden",
	.group = GROUP_HELP,
	.summary = "write what mends the findings of kvmcrypt check",
	.description =
		"Looks as `kvmcrypt check` does, and writes what mends what does not pass: into libvirt's files, "
		"whose comments stay, and as files of its own. What was there is kept beside them, and --undo puts "
		"it back. No daemon and no guest is started anew: what is in force from when on is said, and what "
		"a person has to mend is listed with the way to do it.",
	.operands = operands_of_harden,
	.options = options,
	.options_size = sizeof(struct harden_options),
	.run = run,
};
