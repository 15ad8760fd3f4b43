/* Child processes: fixed argv, clean environment, secrets by pipe or terminal only, no shell. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/confine.h"
#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

#define PROCESS_SECRETS_MAX 8
#define PROCESS_FD_FIRST 3

struct process {
	const char *const *argv;	/* argv[0] is looked up where programs of the system are; NULL-terminated */

	/*
	 * secrets[i] can be read once by the child from descriptor PROCESS_FD_FIRST + i, i.e.
	 * "/dev/fd/3" for the first: a pipe, so the key is in no file and no swappable page.
	 * At most 64 KiB each, the size of a pipe.
	 */
	const struct secret *const *secrets;
	size_t n_secrets;

	/* The child's descriptors after the secrets, in order; duplicated, the caller keeps its own. */
	const int *fds;
	size_t n_fds;

	const struct secret *input;	/* its stdin, at most 64 KiB; NULL: /dev/null */
	size_t stdout_max;	/* keep at most so much of stdout; 0: to /dev/null */
	bool stdout_secret;	/* stdout is a key: it comes back as .secret, not as .out */

	/*
	 * A program that takes a PIN from nothing but its terminal gets one of its own: each time it
	 * shows tty_prompt there, tty_answer and a newline are typed. Without input only.
	 */
	const char *tty_prompt;		/* NULL: no terminal */
	const struct secret *tty_answer;

	enum process_confine confine;	/* what it may do */

	unsigned seconds;	/* then it and what it started are ended: ERROR_FAILED/ETIMEDOUT; 0: no limit */
};

struct process_result {
	int status;		/* exit code, or 128 + signal */
	char *out;		/* stdout, zero-terminated; NULL if not asked for */
	size_t out_len;
	struct secret *secret;	/* stdout as a secret; NULL if not asked for or empty */
	char err[512];		/* end of the last non-empty line of stderr */
};

/*
 * Runs the child to its end. 0 when it ran, whatever its status; the caller looks at status.
 * ERROR_NOT_FOUND when the program is not installed. The environment is a PATH of our own, LC_ALL=C,
 * HOME and TMPDIR; the child has RLIMIT_CORE 0 and dies with its parent.
 */
int process_run(const struct process *p, struct process_result *ret, struct error *e);
void process_result_clear(struct process_result *r);

/* As process_run(), and a status other than 0 is ERROR_FAILED with the child's last line. */
int process_run_checked(const struct process *p, struct process_result *ret, struct error *e);

#endif
