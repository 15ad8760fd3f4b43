#include "lib/posture/waiver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void clear_line(struct waiver *w)
{
	free(w->id);
	free(w->subject);
	free(w->reason);
}

void waivers_clear(struct waivers *w)
{
	for (size_t i = 0; i < w->n; i++)
		clear_line(&w->list[i]);
	free(w->list);
	*w = (struct waivers){ 0 };
}

/* "2027-01-31": the first second of the next day. */
static bool read_day(const char *text, int64_t *ret)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	if (!end || *end || end - text != 10)
		return false;
	*ret = timegm(&tm) + 24 * 3600;
	return true;
}

static bool known(const char *id)
{
	const struct posture_check *c;
	for (size_t i = 0; (c = posture_check_at(i)); i++)
		if (!strcmp(c->id, id))
			return true;
	return false;
}

/* What is wrong with the line; NULL: nothing, and *ret is it. */
static const char *read_line(char *line, struct waiver *ret)
{
	char *reason = strstr(line, ": "), *until = strstr(line, " until ");
	if (!until || !reason || reason < until)
		return "it is not 'ID [SUBJECT] until YYYY-MM-DD: REASON'";
	*reason = *until = 0;
	reason += 2 + strspn(reason + 2, " ");
	char *subject = strchr(line, ' ');
	if (subject)
		*subject++ = 0;
	if (!known(line))
		return "there is no such check (see `kvmcrypt check --list`)";
	struct waiver w = { 0 };
	if (!read_day(until + strlen(" until "), &w.until))
		return "its date is not YYYY-MM-DD";
	if (!*reason)
		return "it gives no reason";
	w.id = strdup(line);
	w.subject = subject ? strdup(subject + strspn(subject, " ")) : NULL;
	w.reason = strdup(reason);
	*ret = w;
	return w.id && w.reason && (w.subject || !subject) ? NULL : "out of memory";
}

int waivers_read(const char *path, struct waivers *ret, struct error *e)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : error_errno(e, ERROR_FAILED, errno, "%s cannot be read", path);
	AUTOWAIVERS struct waivers list = { 0 };
	AUTOFREE char *line = NULL;
	size_t room = 0;
	int number = 0, r = 0;
	while (r == 0 && getline(&line, &room, f) > 0) {
		number++;
		line[strcspn(line, "\r\n")] = 0;
		char *text = line + strspn(line, " \t");
		if (!*text || *text == '#')
			continue;
		struct waiver *more = realloc(list.list, (list.n + 1) * sizeof(*more));
		if (!more) {
			r = error_oom(e);
			break;
		}
		list.list = more;
		list.list[list.n] = (struct waiver){ 0 };
		const char *why = read_line(text, &list.list[list.n++]);
		if (why)
			r = error_set(e, ERROR_FAILED, EINVAL, "%s, line %d: %s", path, number, why);
	}
	if (r == 0 && ferror(f))
		r = error_errno(e, ERROR_FAILED, EIO, "%s cannot be read", path);
	fclose(f);
	if (r == 0) {
		*ret = list;
		list = (struct waivers){ 0 };
	}
	return r;
}

const struct waiver *waiver_for(const struct waivers *w, const char *id, const char *subject,
				const struct waiver **ret_ended)
{
	int64_t now = time(NULL);
	*ret_ended = NULL;
	for (size_t i = 0; i < w->n; i++) {
		const struct waiver *line = &w->list[i];
		if (strcmp(line->id, id) || (line->subject && strcmp(line->subject, subject)))
			continue;
		if (now < line->until)
			return line;
		*ret_ended = line;
	}
	return NULL;
}
