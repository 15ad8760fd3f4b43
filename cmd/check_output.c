#include "cmd/check_output.h"

#include "cmd/output.h"

#include <stdio.h>
#include <string.h>

/* As a column shows it. */
static const char *const words[POSTURE_VERDICTS] = {
	[POSTURE_NOT_APPLICABLE] = "-", [POSTURE_PASS] = "ok",	 [POSTURE_UNKNOWN] = "unknown",
	[POSTURE_WARN] = "warn",	[POSTURE_FAIL] = "FAIL",
};

const struct posture_note *check_worst(const struct posture_finding *f)
{
	const struct posture_note *worst = NULL;
	for (size_t i = 0; i < f->n; i++) {
		const struct posture_note *n = &f->notes[i];
		/* Of equals, what is so now goes before what is written down. */
		if (!worst || (!n->waived && (worst->waived || n->verdict > worst->verdict ||
					      (n->verdict == worst->verdict && n->side > worst->side))))
			worst = n;
	}
	return worst;
}

const char *check_side(const struct posture_note *n)
{
	return n->side == POSTURE_RUNNING ? "running" : "configured";
}

static size_t others_as_bad(const struct posture_finding *f, const struct posture_note *worst)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n; i++)
		n += &f->notes[i] != worst && f->notes[i].verdict == worst->verdict && !f->notes[i].waived;
	return n;
}

static void print_notes(const struct posture_finding *f)
{
	for (size_t i = 0; i < f->n; i++)
		printf("             %-7s %-10s %s: %s\n", f->notes[i].waived ? "waived" : words[f->notes[i].verdict],
		       check_side(&f->notes[i]), f->notes[i].subject, f->notes[i].text);
	if (f->waiver)
		printf("             waived: %s\n", f->waiver);
	if (f->verdict >= POSTURE_WARN)
		printf("             why:    %s\n             mend:   %s\n", f->check->why, f->check->mend);
}

static void print_finding(const struct context *ctx, const struct posture_finding *f)
{
	const struct posture_note *worst = check_worst(f);
	printf("  %-8s %-28s ", words[f->verdict], f->check->id);
	if (f->verdict <= POSTURE_PASS || !worst) {
		printf("%s%s\n", f->check->title, f->waiver ? " (waived)" : "");
	} else {
		size_t more = others_as_bad(f, worst);
		printf("%s: %s", worst->subject, worst->text);
		if (more)
			printf(" (and %zu more)", more);
		printf("\n");
	}
	if (ctx->verbose)
		print_notes(f);
}

/* The findings of one topic that have this verdict. */
static void print_verdict(const struct context *ctx, const struct posture_report *r, const char *topic,
			  enum posture_verdict v)
{
	for (size_t i = 0; i < r->n; i++) {
		char t[32];
		if (r->findings[i].verdict == v &&
		    !strcmp(posture_topic(r->findings[i].check->id, t, sizeof(t)), topic))
			print_finding(ctx, &r->findings[i]);
	}
}

static bool has_topic_before(const struct posture_report *r, size_t i, const char *topic)
{
	char t[32];
	return i > 0 && !strcmp(posture_topic(r->findings[i - 1].check->id, t, sizeof(t)), topic);
}

void check_print(const struct context *ctx, const struct posture_report *r)
{
	if (ctx->quiet)
		return;
	for (size_t i = 0; i < r->n; i++) {
		char topic[32];
		posture_topic(r->findings[i].check->id, topic, sizeof(topic));
		if (has_topic_before(r, i, topic))
			continue;
		printf("%s%s\n", i ? "\n" : "", posture_topic_title(topic));
		for (int v = POSTURE_FAIL; v >= (ctx->verbose ? POSTURE_NOT_APPLICABLE : POSTURE_PASS); v--)
			print_verdict(ctx, r, topic, (enum posture_verdict)v);
	}
	printf("\n%zu checks: %zu fail, %zu warn, %zu unknown, %zu pass, %zu do not apply\n", r->n,
	       r->count[POSTURE_FAIL], r->count[POSTURE_WARN], r->count[POSTURE_UNKNOWN], r->count[POSTURE_PASS],
	       r->count[POSTURE_NOT_APPLICABLE]);
}

static struct json_object *note_json(const struct posture_note *n)
{
	struct json_object *o = json_object_new_object();
	if (!o)
		return NULL;
	put_text(o, "verdict", posture_verdict_name(n->verdict));
	put_text(o, "seen", check_side(n));
	put_text(o, "subject", n->subject);
	put_text(o, "text", n->text);
	put_bool(o, "waived", n->waived);
	return o;
}

static struct json_object *finding_json(const struct posture_finding *f)
{
	char topic[32];
	struct json_object *o = json_object_new_object(), *notes = json_object_new_array();
	if (!o || !notes) {
		json_object_put(o);
		json_object_put(notes);
		return NULL;
	}
	put_text(o, "id", f->check->id);
	put_text(o, "topic", posture_topic(f->check->id, topic, sizeof(topic)));
	put_text(o, "title", f->check->title);
	put_text(o, "verdict", posture_verdict_name(f->verdict));
	put_text(o, "why", f->check->why);
	put_text(o, "mend", f->check->mend);
	put_text(o, "waiver", f->waiver);
	for (size_t i = 0; i < f->n; i++)
		json_object_array_add(notes, note_json(&f->notes[i]));
	json_object_object_add(o, "notes", notes);
	return o;
}

struct json_object *check_json(const struct posture_report *r)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array(),
			   *summary = json_object_new_object();
	if (!o || !list || !summary) {
		json_object_put(o);
		json_object_put(list);
		json_object_put(summary);
		return NULL;
	}
	for (size_t i = 0; i < r->n; i++)
		json_object_array_add(list, finding_json(&r->findings[i]));
	for (int v = 0; v < POSTURE_VERDICTS; v++)
		put_number(summary, posture_verdict_name((enum posture_verdict)v), r->count[v]);
	json_object_object_add(o, "findings", list);
	json_object_object_add(o, "summary", summary);
	return o;
}
