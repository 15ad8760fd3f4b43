/* JUnit's XML, in the form that Jenkins and GitLab read. */
#include "cmd/check_output.h"

#include <stdio.h>
#include <string.h>

void check_print_escaped(const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '>':
			fputs("&gt;", stdout);
			break;
		case '"':
			fputs("&quot;", stdout);
			break;
		default:
			putchar(*s);
		}
	}
}

static bool same_topic(const struct posture_finding *a, const struct posture_finding *b)
{
	return strcspn(a->check->id, ".") == strcspn(b->check->id, ".") &&
	       !strncmp(a->check->id, b->check->id, strcspn(a->check->id, "."));
}

static void print_text(const struct posture_finding *f, enum posture_verdict least)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct posture_note *n = &f->notes[i];
		if (n->waived || n->verdict < least)
			continue;
		check_print_escaped(n->subject);
		fputs(": ", stdout);
		check_print_escaped(n->text);
		putchar('\n');
	}
}

static void print_case(const struct posture_finding *f, enum posture_verdict from)
{
	char topic[32];
	printf("    <testcase classname=\"kvmcrypt.%s\" name=\"%s\"", posture_topic(f->check->id, topic, sizeof(topic)),
	       f->check->id);
	if (f->verdict >= from) {
		fputs(">\n      <failure message=\"", stdout);
		check_print_escaped(f->check->title);
		printf("\" type=\"%s\">", posture_verdict_name(f->verdict));
		print_text(f, from);
		check_print_escaped(f->check->why);
		fputs("\n", stdout);
		check_print_escaped(f->check->mend);
		fputs("</failure>\n    </testcase>\n", stdout);
	} else if (f->verdict == POSTURE_NOT_APPLICABLE || f->verdict == POSTURE_UNKNOWN) {
		printf("><skipped message=\"%s\"/></testcase>\n", posture_verdict_name(f->verdict));
	} else {
		fputs("/>\n", stdout);
	}
}

void check_print_junit(const struct posture_report *r, enum posture_verdict from)
{
	puts("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"kvmcrypt check\">");
	for (size_t i = 0, end; i < r->n; i = end) {
		size_t failures = 0, skipped = 0;
		for (end = i; end < r->n && same_topic(&r->findings[i], &r->findings[end]); end++) {
			enum posture_verdict v = r->findings[end].verdict;
			failures += v >= from;
			skipped += v < from && (v == POSTURE_NOT_APPLICABLE || v == POSTURE_UNKNOWN);
		}
		char topic[32];
		printf("  <testsuite name=\"%s\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n",
		       posture_topic(r->findings[i].check->id, topic, sizeof(topic)), end - i, failures, skipped);
		for (size_t k = i; k < end; k++)
			print_case(&r->findings[k], from);
		puts("  </testsuite>");
	}
	puts("</testsuites>");
}
