/* One self-contained page: it loads nothing, runs nothing, and prints well. */
#include "cmd/check_output.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char style[] =
	"body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 "
	"1em;color:#1c2024;background:#fff}"
	"h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin:1.8em 0 .4em;border-bottom:1px solid #ccd}"
	"details{border-left:4px solid;padding:.35em .8em;margin:.3em 0;background:#f7f8fa;break-inside:avoid}"
	"summary{cursor:pointer}summary b{display:inline-block;min-width:5em}code{color:#445}"
	".fail{border-color:#c62828}.warn{border-color:#c77700}.unknown{border-color:#6b7280}"
	".pass{border-color:#2e7d32}.not_applicable{border-color:#cbd0d6;color:#667}"
	"ul{margin:.4em 0;padding-left:1.3em}dt{font-weight:600}dd{margin:0 0 .3em 0}.count{margin-right:1.2em}"
	"@media print{details{background:none}}";

static void print_element(const char *tag, const char *text)
{
	printf("<%s>", tag);
	check_print_escaped(text);
	printf("</%s>", tag);
}

static void print_finding(const struct posture_finding *f)
{
	const char *name = posture_verdict_name(f->verdict);
	printf("<details class=\"%s\"%s><summary><b>%s</b> <code>%s</code> ", name,
	       f->verdict >= POSTURE_WARN ? " open" : "", f->verdict == POSTURE_NOT_APPLICABLE ? "n/a" : name,
	       f->check->id);
	check_print_escaped(f->check->title);
	fputs("</summary>\n<ul>", stdout);
	for (size_t i = 0; i < f->n; i++) {
		const struct posture_note *n = &f->notes[i];
		printf("<li>%s, %s: ", n->waived ? "waived" : posture_verdict_name(n->verdict), check_side(n));
		print_element("strong", n->subject);
		fputs(" ", stdout);
		check_print_escaped(n->text);
		fputs("</li>\n", stdout);
	}
	fputs("</ul>\n<dl><dt>Why</dt>", stdout);
	print_element("dd", f->check->why);
	fputs("<dt>What mends it</dt>", stdout);
	print_element("dd", f->check->mend);
	if (f->waiver) {
		fputs("<dt>Waived</dt>", stdout);
		print_element("dd", f->waiver);
	}
	fputs("</dl></details>\n", stdout);
}

void check_print_html(const struct posture_report *r)
{
	char when[32], topic[32], last[32] = "", host[256] = "";
	if (gethostname(host, sizeof(host) - 1) < 0)
		*host = 0;
	text_make_printable(host);
	puts("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kvmcrypt check</title>");
	printf("<meta name=\"viewport\" content=\"width=device-width\"><style>%s</style></head><body>\n<h1>", style);
	check_print_escaped(host);
	printf("</h1>\n<p>kvmcrypt check, %s</p>\n<p>", text_time(time(NULL), when, sizeof(when)));
	for (int v = POSTURE_FAIL; v >= 0; v--)
		printf("<span class=\"count\"><strong>%zu</strong> %s</span>", r->count[v],
		       v == POSTURE_NOT_APPLICABLE ? "do not apply" : posture_verdict_name((enum posture_verdict)v));
	puts("</p>");
	for (size_t i = 0; i < r->n; i++) {
		posture_topic(r->findings[i].check->id, topic, sizeof(topic));
		if (strcmp(topic, last)) {
			print_element("h2", posture_topic_title(topic));
			puts("");
			snprintf(last, sizeof(last), "%s", topic);
			/* Worst first within a topic. */
			for (int v = POSTURE_FAIL; v >= 0; v--)
				for (size_t k = i; k < r->n && !strncmp(r->findings[k].check->id, topic, strlen(topic));
				     k++)
					if (r->findings[k].verdict == (enum posture_verdict)v)
						print_finding(&r->findings[k]);
		}
	}
	puts("</body></html>");
}
