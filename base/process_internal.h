/* Shared by the files of child processes only. */
#ifndef BASE_PROCESS_INTERNAL_H
#define BASE_PROCESS_INTERNAL_H

#include "base/process.h"

/* Our ends of what joins us to the child; -1: there is none. */
struct process_ends {
	int out, err, tty;
	int life;	/* a pidfd: readable when it has ended */
};

/*
 * Reads what the child says until it has closed stdout and stderr and, by `life`, has ended, and types the
 * answers on its terminal. Past the time limit ERROR_FAILED/ETIMEDOUT.
 */
int process_talk(const struct process *p, const struct process_ends *ends, struct process_result *res, struct error *e);

#endif
