/* The commands of the sweeps: one table. A new workflow is a line here, and a state if none does. */
#ifndef TESTS_FAULT_VERBS_H
#define TESTS_FAULT_VERBS_H

#include <stdbool.h>
#include <stddef.h>

enum verb_flags {
	FILE_MAY_STAY = 1,	/* recover may leave the file, with all its keyslots destroyed */
	REPEAT_FIRST = 2,	/* what stopped halfway is gone on with by the command itself, not by recover */
	COPIES = 4,		/* what it writes is read back before it counts: a write may be lost */
};

struct verb {
	const char *name;	/* as in the report; a word that FAULT_ONLY picks is one of it */
	const char *workflow;	/* of the engine's table; NULL: the keystore's own, which has none */
	const char *state;	/* it begins with: a function of states */
	const char *line;	/* arguments of the program */
	int again[3];		/* exit codes that a repetition may have besides 0, once it was done */
	unsigned flags;
	const char *keystore;	/* that is looked at, NULL: "keystore" */
	const char *proof;	/* a line that has to succeed once it is done, NULL: none */
	const char *open;	/* a fault that is known and not yet mended: a sample says "skip", not "ok" */
};
extern const struct verb verbs[];
extern const size_t n_verbs;

/* Workflows that no command begins at rest, and that other tests interrupt; ends with NULL. */
extern const char *const verbs_elsewhere[];

struct pair_verb {
	const char *name;
	const char *line;	/* with @ for the suffix of its volumes */
	bool many;		/* it goes on where one volume failed: done as far as it could is not 0 */
	const char *open;	/* as above */
};
/* Verbs on one volume that has every keyslot and file they want, by the state's name. */
extern const struct pair_verb pair_verbs[];
extern const size_t n_pair_verbs;

#endif
