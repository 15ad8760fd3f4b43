/* SARIF 2.1.0: a rule is a check, a result is a note that does not pass. */
#include "cmd/check_output.h"

#include "cmd/output.h"

#include <string.h>

#ifndef KVMCRYPT_VERSION
#define KVMCRYPT_VERSION "unknown"
#endif

static struct json_object *text_object(const char *text)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "text", text);
	return o;
}

static struct json_object *rule(const struct posture_check *c)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "id", c->id);
	json_object_object_add(o, "shortDescription", text_object(c->title));
	json_object_object_add(o, "fullDescription", text_object(c->why));
	json_object_object_add(o, "help", text_object(c->mend));
	return o;
}

/* Its "level" and "kind" as the standard has them (3.27.9, 3.27.10). */
static void put_level(struct json_object *o, enum posture_verdict v)
{
	static const char *const levels[POSTURE_VERDICTS] = { "none", "none", "none", "warning", "error" };
	static const char *const kinds[POSTURE_VERDICTS] = { "notApplicable", "pass", "open", "fail", "fail" };
	put_text(o, "level", levels[v]);
	put_text(o, "kind", kinds[v]);
}

/* What it was seen at is no file that a viewer could open, so it is a logical location. */
static struct json_object *location(const struct posture_note *n)
{
	struct json_object *o = json_object_new_object(), *logical = json_object_new_object(),
			   *list = json_object_new_array();
	put_text(logical, "fullyQualifiedName", n->subject);
	json_object_array_add(list, logical);
	json_object_object_add(o, "logicalLocations", list);
	return o;
}

static struct json_object *result(const struct posture_finding *f, size_t index, const struct posture_note *n)
{
	struct json_object *o = json_object_new_object(), *places = json_object_new_array();
	char text[1024];
	snprintf(text, sizeof(text), "%s: %s", n->subject, n->text);
	put_text(o, "ruleId", f->check->id);
	put_number(o, "ruleIndex", index);
	put_level(o, n->verdict);
	json_object_object_add(o, "message", text_object(text));
	json_object_array_add(places, location(n));
	json_object_object_add(o, "locations", places);
	if (n->waived) {
		struct json_object *s = json_object_new_object(), *list = json_object_new_array();
		put_text(s, "kind", "external");
		put_text(s, "justification", f->waiver);
		json_object_array_add(list, s);
		json_object_object_add(o, "suppressions", list);
	}
	return o;
}

struct json_object *check_sarif(const struct posture_report *r)
{
	struct json_object *doc = json_object_new_object(), *runs = json_object_new_array(),
			   *run = json_object_new_object(), *tool = json_object_new_object(),
			   *driver = json_object_new_object(), *rules = json_object_new_array(),
			   *results = json_object_new_array();
	put_text(doc, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
	put_text(doc, "version", "2.1.0");
	put_text(driver, "name", "kvmcrypt");
	put_text(driver, "version", KVMCRYPT_VERSION);
	for (size_t i = 0; i < r->n; i++) {
		json_object_array_add(rules, rule(r->findings[i].check));
		for (size_t k = 0; k < r->findings[i].n; k++)
			json_object_array_add(results, result(&r->findings[i], i, &r->findings[i].notes[k]));
	}
	json_object_object_add(driver, "rules", rules);
	json_object_object_add(tool, "driver", driver);
	json_object_object_add(run, "tool", tool);
	json_object_object_add(run, "results", results);
	json_object_array_add(runs, run);
	json_object_object_add(doc, "runs", runs);
	return doc;
}
