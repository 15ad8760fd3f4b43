/*
 * What a power cut takes back: everything that was written, created, renamed or removed since the
 * last sync of its file or directory. Strict: a synced file whose directory was not synced may have no name.
 */
#ifndef TESTS_FAULT_POWER_H
#define TESTS_FAULT_POWER_H

#include "tests/fault/trace.h"

struct power {
	struct power_data *data;	/* newest first */
	struct power_name *names;
	const char *stash;		/* a directory on the same disk, for files that lost their names */
	unsigned n_stashed;
};

/* To be told of every call before it is made; a sync of a file or directory forgets what it holds. */
void power_note(struct power *p, const struct trace_call *c);

/*
 * The power is gone; all processes are dead. By the seed what is unsynced is lost: everything; or all names and half
 * of the sectors; or half of the sectors; or half of the sectors and of each directory a part, the newest names.
 */
void power_cut(struct power *p, unsigned seed);

/* Frees what was noted, without the cut. */
void power_free(struct power *p);

#endif
