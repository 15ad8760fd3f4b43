/*
 * Waivers: what somebody has decided to live with, for how long and why, in /etc/kvmcrypt/check.conf. A line is
 *
 *	ID[ SUBJECT] until YYYY-MM-DD: REASON
 *
 * SUBJECT is a note's, "domain web"; without one the whole finding is meant. # begins a comment.
 */
#ifndef LIB_POSTURE_WAIVER_H
#define LIB_POSTURE_WAIVER_H

#include "lib/posture/posture.h"

#define WAIVER_FILE "/etc/kvmcrypt/check.conf"

struct waiver {
	char *id, *subject, *reason; /* subject NULL: all */
	int64_t until;		     /* the end of that day, UTC */
};

struct waivers {
	struct waiver *list;
	size_t n;
};

/* A file that is not there has none. ERROR_FAILED: a line that is none, with its number. */
int waivers_read(const char *path, struct waivers *ret, struct error *e);
void waivers_clear(struct waivers *w);
#define AUTOWAIVERS CLEANUP(waivers_clear)

/* The line that excuses this note now; NULL: none does. *ret_ended: one did, until its day came (NULL: none). */
const struct waiver *waiver_for(const struct waivers *w, const char *id, const char *subject,
				const struct waiver **ret_ended);

#endif
