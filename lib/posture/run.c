#include "lib/posture/look.h"
#include "lib/posture/waiver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const verdict_names[POSTURE_VERDICTS] = {
	[POSTURE_NOT_APPLICABLE] = "not_applicable",
	[POSTURE_PASS] = "pass",
	[POSTURE_UNKNOWN] = "unknown",
	[POSTURE_WARN] = "warn",
	[POSTURE_FAIL] = "fail",
};

const char *posture_verdict_name(enum posture_verdict v)
{
	return verdict_names[v];
}

static void clear_finding(struct posture_finding *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->notes[i].subject);
		free(f->notes[i].text);
	}
	free(f->notes);
	free(f->waiver);
}

void posture_report_clear(struct posture_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		clear_finding(&r->findings[i]);
	free(r->findings);
	*r = (struct posture_report){ 0 };
}

/* The worst note that counts; those that a line of check.conf excuses do not. */
static int judge(struct posture_finding *f, const struct waivers *w, struct error *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct posture_note *n = &f->notes[i];
		const struct waiver *ended, *line = NULL;
		if (n->verdict >= POSTURE_UNKNOWN)
			line = waiver_for(w, f->check->id, n->subject, &ended);
		n->waived = line != NULL;
		if (!line && f->verdict < n->verdict)
			f->verdict = n->verdict;
		if (line && !f->waiver && !(f->waiver = strdup(line->reason)))
			return error_oom(e);
	}
	/* What is excused altogether was looked at. */
	if (f->waiver && f->verdict == POSTURE_NOT_APPLICABLE)
		f->verdict = POSTURE_PASS;
	return 0;
}

static bool wanted(const struct posture_params *p, const struct posture_check *c)
{
	char topic[32];
	posture_topic(c->id, topic, sizeof(topic));
	for (size_t i = 0; i < p->n_which; i++)
		if (!strcmp(p->which[i], c->id) || !strcmp(p->which[i], topic))
			return true;
	return p->n_which == 0;
}

static int check_which(const struct posture_params *p, struct error *e)
{
	for (size_t i = 0; i < p->n_which; i++) {
		const struct posture_params one = { .which = &p->which[i], .n_which = 1 };
		const struct posture_check *c = NULL;
		for (size_t k = 0; (c = posture_check_at(k)) && !wanted(&one, c); k++)
			;
		if (!c)
			return error_set(e, ERROR_USAGE, EINVAL,
					 "there is no topic or check '%s' (see `kvmcrypt check --list`)", p->which[i]);
	}
	return 0;
}

static int look(struct host *h, const struct posture_check *c, const struct waivers *w, struct posture_finding *ret,
		struct error *e)
{
	struct posture_look l = { .host = h, .finding = ret };
	ret->check = c;
	c->look(&l);
	return l.out_of_memory ? error_oom(e) : judge(ret, w, e);
}

/* Who may not read the host's own file is told so, and nothing is excused for him. */
static int read_waivers(const struct posture_params *p, const char *path, struct waivers *ret,
			struct posture_report *report, struct error *e)
{
	struct error why;
	int r = waivers_read(p->waivers ? p->waivers : path, ret, &why);
	if (r == -EACCES && !p->waivers) {
		snprintf(report->no_waivers, sizeof(report->no_waivers), "%s", why.message);
		return 0;
	}
	return r < 0 ? error_pass(e, &why) : 0;
}

int posture_run(const struct posture_params *p, struct posture_report *ret, struct error *e)
{
	AUTOPOSTURE struct posture_report report = { 0 };
	AUTOWAIVERS struct waivers waivers = { 0 };
	AUTOHOST struct host *h = NULL;
	char path[4096];
	snprintf(path, sizeof(path), "%s%s", p->root ? p->root : "", WAIVER_FILE);
	int r = check_which(p, e);
	if (r == 0)
		r = read_waivers(p, path, &waivers, &report, e);
	if (r == 0)
		r = host_open(p->root, p->connect, p->domain, p->milliseconds, &h, e);
	if (r < 0)
		return r;
	h->keystore = p->keystore;
	if (h->running && !h->g)
		snprintf(report.no_libvirt, sizeof(report.no_libvirt), "%s", h->no_libvirt.message);
	size_t n = 0;
	for (const struct posture_check *c; (c = posture_check_at(n)); n++) {
		h->wants_service |= wanted(p, c) && !strncmp(c->id, "management.", 11);
		h->wants_consoles |= wanted(p, c) && !strncmp(c->id, "console.", 8);
	}
	report.findings = calloc(n, sizeof(*report.findings));
	if (!report.findings)
		return error_oom(e);
	for (size_t i = 0; i < n; i++) {
		const struct posture_check *c = posture_check_at(i);
		if (!wanted(p, c))
			continue;
		struct posture_finding *f = &report.findings[report.n++];
		r = look(h, c, &waivers, f, e);
		if (r < 0)
			return r;
		report.count[f->verdict]++;
	}
	*ret = report;
	report = (struct posture_report){ 0 };
	return 0;
}
