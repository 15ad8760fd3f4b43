/*
 * Where a case of the sweeps takes place: a directory with keystore and images that is made once by
 * a script, and brought back before each case.
 */
#ifndef TESTS_FAULT_CASE_H
#define TESTS_FAULT_CASE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct place {
	char work[PATH_MAX];	/* all of it */
	char dir[PATH_MAX];	/* the case's directory, in which commands run: work/case */
	char state[PATH_MAX];	/* what is copied there: work/state */
	char stash[PATH_MAX];	/* for power_cut() */
	char out[PATH_MAX];	/* what the last command printed */
	char states[PATH_MAX];	/* states */
	const char *program;	/* kvmcrypt */
};

/* Makes the directories in $FAULT_DIR, changes to dir, and sets KVMCRYPT_KEYSTORE. Ends the program where it cannot. */
void place_make(struct place *p);
/* Removes all of it, and the root key from the kernel's keyring. */
void place_remove(struct place *p);

/* Makes a state by its function in states. false: it failed, which is printed. */
bool place_state(struct place *p, const char *name);
void place_restore(const struct place *p);

/* Splits "resize -q v.raw 5M" and puts the program before it; to be freed with words_free(). */
char **words_split(const char *program, const char *line);
void words_free(char **words);

/* Runs argv with standard input from nowhere; at most size - 1 bytes of what it prints. Its status, of waitpid(). */
int run_capture(char *const argv[], char *ret, size_t size);
/* The program with a line of arguments: its exit code, 128 + signal. */
int run_line(const struct place *p, const char *line, char *ret, size_t size);

#endif
