#include "lib/posture/look.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(struct posture_look *l, struct posture_note n)
{
	struct posture_finding *f = l->finding;
	struct posture_note *more = n.subject && n.text ? realloc(f->notes, (f->n + 1) * sizeof(*more)) : NULL;
	if (!more) {
		l->out_of_memory = true;
		free(n.subject);
		free(n.text);
		return;
	}
	text_make_printable(n.subject);
	text_make_printable(n.text);
	f->notes = more;
	f->notes[f->n++] = n;
}

void note(struct posture_look *l, enum posture_verdict v, enum posture_side side, const char *subject, const char *fmt,
	  ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(l, (struct posture_note){ .verdict = v, .side = side, .subject = strdup(subject), .text = strdup(text) });
}

void note_unknown(struct posture_look *l, enum posture_side side, const char *subject, const struct error *e)
{
	note(l, POSTURE_UNKNOWN, side, subject, "%s", e->message);
}

struct host_guest *look_next_guest(struct posture_look *l, struct host_guest *after)
{
	struct host *h = l->host;
	if (!after && h->running && !h->g)
		note(l, POSTURE_UNKNOWN, POSTURE_CONFIGURED, "libvirt", "it cannot be asked");
	if (!h->n)
		return NULL;
	return !after ? h->guests : after + 1 < h->guests + h->n ? after + 1 : NULL;
}

struct host_guest *look_next_process(struct posture_look *l, struct host_guest *after)
{
	struct host_guest *g = after;
	while ((g = look_next_guest(l, g))) {
		if (g->proc.fd >= 0)
			return g;
		if (g->live)
			note_unknown(l, POSTURE_RUNNING, g->subject, &g->no_proc);
	}
	return NULL;
}

bool look_conf_text(struct posture_look *l, enum host_conf file, const char *key, char **ret)
{
	struct error e;
	*ret = NULL;
	if (l->host->running && !l->host->local) {
		error_set(&e, ERROR_FAILED, EREMOTE, "it is on another host");
	} else if (host_conf_get(l->host, file, key, ret, &e) >= 0) {
		return true;
	}
	note_unknown(l, POSTURE_CONFIGURED, host_conf_path(file), &e);
	return false;
}

bool look_conf_number(struct posture_look *l, enum host_conf file, const char *key, long otherwise, long *ret)
{
	AUTOFREE char *text = NULL;
	if (!look_conf_text(l, file, key, &text))
		return false;
	*ret = text ? strtol(text, NULL, 0) : otherwise;
	return true;
}

bool look_conf_count(struct posture_look *l, enum host_conf file, const char *key, long otherwise, long *ret)
{
	struct error e;
	*ret = otherwise;
	if (l->host->running && !l->host->local)
		error_set(&e, ERROR_FAILED, EREMOTE, "it is on another host");
	else if (host_conf_count(l->host, file, key, ret, &e) >= 0)
		return true;
	note_unknown(l, POSTURE_CONFIGURED, host_conf_path(file), &e);
	return false;
}

bool look_nodes(struct posture_look *l, const struct host_guest *g, xmlDocPtr doc, const char *expression,
		struct guest_xml *ret)
{
	struct error e;
	if (!doc || guest_xml_query(ret, doc, expression, &e) == 0)
		return true;
	note_unknown(l, POSTURE_CONFIGURED, g->subject, &e);
	return false;
}

size_t look_count(struct posture_look *l, const struct host_guest *g, xmlDocPtr doc, const char *expression)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	return look_nodes(l, g, doc, expression, &x) ? guest_xml_count(&x) : 0;
}
