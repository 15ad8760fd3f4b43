/* kvmcrypt check: the host and its guests as an attacker would see them. */
#include "cmd/check_output.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "keystore/keystore.h"

#include <errno.h>
#include <string.h>

struct check_options {
	const char *domain, *fail_on, *format, *root, *waivers;
	uint64_t timeout;
	bool list;
};

static const char *const verdicts[] = { "warn", "fail", "unknown", "never", NULL };
static const char *const formats[] = { "text", "sarif", "junit", "html", NULL };

static const struct option_spec options[] = {
	{ "domain", OPTION_TEXT, offsetof(struct check_options, domain), "DOMAIN", "look at this guest only", NULL,
	  COMPLETE_DOMAIN, 0 },
	{ "fail-on", OPTION_CHOICE, offsetof(struct check_options, fail_on), "VERDICT",
	  "end with 1 from this verdict on: fail (the default), warn, unknown, or never", verdicts, COMPLETE_NONE, 0 },
	{ "format", OPTION_CHOICE, offsetof(struct check_options, format), "FORMAT",
	  "text (the default), sarif, junit or html", formats, COMPLETE_NONE, 0 },
	{ "list", OPTION_FLAG, offsetof(struct check_options, list), NULL, "list the checks and look at nothing", NULL,
	  COMPLETE_NONE, 0 },
	{ "root", OPTION_TEXT, offsetof(struct check_options, root), "DIR",
	  "the file system of a host that does not run, below DIR", NULL, COMPLETE_FILE, 0 },
	{ "timeout", OPTION_DURATION, offsetof(struct check_options, timeout), "TIME",
	  "how long all that does not answer is waited for, together (3s)", NULL, COMPLETE_NONE, 0 },
	{ "waivers", OPTION_TEXT, offsetof(struct check_options, waivers), "FILE",
	  "what is excused, in the place of /etc/kvmcrypt/check.conf", NULL, COMPLETE_FILE, 0 },
	{ 0 },
};

static const struct operand_spec operands_of_check[] = {
	{ "TOPIC|ID", true, true, COMPLETE_NONE, NULL },
	{ 0 },
};

static const struct column list_columns[] = {
	{ "id", "CHECK", SHOW_PLAIN },
	{ "title", "PASSES WHEN", SHOW_PLAIN },
	{ 0 },
};

static int list_checks(struct context *ctx, struct error *e)
{
	struct output_list *list;
	int r = output_list_begin(ctx, "checks", list_columns, &list, e);
	const struct posture_check *c;
	for (size_t i = 0; r == 0 && (c = posture_check_at(i)); i++) {
		struct json_object *o = json_object_new_object();
		char topic[32];
		put_text(o, "id", c->id);
		put_text(o, "topic", posture_topic(c->id, topic, sizeof(topic)));
		put_text(o, "title", c->title);
		put_text(o, "why", c->why);
		put_text(o, "mend", c->mend);
		r = output_list_add(list, o);
	}
	return list ? output_list_end(list, r, NULL, e) : r;
}

/* From which verdict on the command ends with 1; POSTURE_VERDICTS: from none. */
static enum posture_verdict threshold(const struct check_options *o)
{
	if (!o->fail_on || !strcmp(o->fail_on, "fail"))
		return POSTURE_FAIL;
	if (!strcmp(o->fail_on, "warn"))
		return POSTURE_WARN;
	return !strcmp(o->fail_on, "unknown") ? POSTURE_UNKNOWN : (enum posture_verdict)POSTURE_VERDICTS;
}

static int show(struct context *ctx, const struct check_options *o, const struct posture_report *report, int judged,
		struct error *why)
{
	struct error e;
	const char *format = o->format ? o->format : "text";
	if (ctx->json || !strcmp(format, "sarif")) {
		struct json_object *doc = ctx->json ? check_json(report) : check_sarif(report);
		if (!doc)
			return error_oom(why);
		if (ctx->json && judged < 0) {
			struct json_object *inner = json_object_new_object();
			put_text(inner, "kind", error_kind_name(why->kind));
			put_number(inner, "exit_code", why->kind);
			put_text(inner, "message", why->message);
			json_object_object_add(doc, "error", inner);
		}
		bool json = ctx->json;
		ctx->json = true;
		int r = output_object(ctx, doc, NULL);
		ctx->json = json;
		ctx->document_done = true;
		return r < 0 ? error_pass(why, &e) : judged;
	}
	if (!strcmp(format, "junit"))
		check_print_junit(report, threshold(o));
	else if (!strcmp(format, "html"))
		check_print_html(report);
	else
		check_print(ctx, report);
	return judged;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct check_options *o = opaque;
	if (o->list)
		return list_checks(ctx, e);
	if (o->timeout > 3600)
		return error_set(e, ERROR_USAGE, ERANGE, "--timeout is at most an hour");
	AUTOPOSTURE struct posture_report report = { 0 };
	const struct posture_params p = {
		.root = o->root,
		.connect = ctx->connect,
		.domain = o->domain,
		.keystore = ctx->keystore,
		.waivers = o->waivers,
		.milliseconds = (unsigned)o->timeout * 1000,
		.which = operands,
		.n_which = n,
	};
	int r = posture_run(&p, &report, e);
	if (r < 0)
		return r;
	if (*report.no_waivers)
		say(ctx, "note: nothing is excused: %s", report.no_waivers);
	if (*report.no_libvirt)
		say(ctx, "note: %s", report.no_libvirt);
	size_t bad = 0;
	for (size_t v = threshold(o); v < POSTURE_VERDICTS; v++)
		bad += report.count[v];
	if (bad)
		r = error_set(e, ERROR_FAILED, EPERM,
			      "%zu of %zu checks %s not pass: `kvmcrypt check -v` says why, and what mends it", bad,
			      report.n, bad == 1 ? "does" : "do");
	return show(ctx, o, &report, r, e);
}

const struct command command_check = {
	.name = "check",
	.group = GROUP_HELP,
	.summary = "hold the host and its guests against an attacker's view",
	.description =
		"Looks at guests' processes, libvirt's management and consoles, the network's filters, SELinux or "
		"AppArmor, the audit log and disks at rest: at what is configured and, apart from it, at what is "
		"really so now. It changes nothing, and what it cannot look at is unknown. Ends with 1 where a "
		"check fails. Works while the keystore is sealed, and without root as far as that goes.",
	.operands = operands_of_check,
	.options = options,
	.options_size = sizeof(struct check_options),
	.run = run,
};
