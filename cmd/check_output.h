/* What `kvmcrypt check` shows: the report for a person, and as documents for other programs. */
#ifndef CMD_CHECK_OUTPUT_H
#define CMD_CHECK_OUTPUT_H

#include "cmd/command.h"
#include "lib/posture/posture.h"

#include <json-c/json.h>

/* Grouped by topic, worst first, a line a check; with --verbose all that was looked at, why it matters, what mends. */
void check_print(const struct context *ctx, const struct posture_report *r);

/* {"findings": […], "summary": {…}}; NULL without memory. */
struct json_object *check_json(const struct posture_report *r);

/* SARIF 2.1.0 (OASIS), for code scanning and security dashboards. NULL without memory. */
struct json_object *check_sarif(const struct posture_report *r);

/* JUnit's XML, for pipelines: a test suite a topic, a test case a check. From `from` on a verdict is a failure. */
void check_print_junit(const struct posture_report *r, enum posture_verdict from);

/* One page without anything from elsewhere, to print or to hand to an auditor. */
void check_print_html(const struct posture_report *r);

/* Text for XML and HTML; control characters were taken out where the notes were made. */
void check_print_escaped(const char *s);

/* "domain web: its process runs as root": the worst of its notes; NULL: it has none. */
const struct posture_note *check_worst(const struct posture_finding *f);

/* Is it seen in the live host, or configured? For a person. */
const char *check_side(const struct posture_note *n);

#endif
