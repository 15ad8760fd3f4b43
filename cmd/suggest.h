/* "did you mean": the nearest of a list of names to a word that is none of them. */
#ifndef CMD_SUGGEST_H
#define CMD_SUGGEST_H

#include <stddef.h>

struct suggestion {
	const char *word;	/* what was typed */
	const char *best;	/* the nearest name so far that is near enough, or NULL; not owned */
	size_t distance;
};

/* Holds `name` against the word; what is to be suggested for it is `meant` (often the name itself). */
void suggest_consider(struct suggestion *s, const char *name, const char *meant);

#endif
