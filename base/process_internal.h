/* Shared by the files of child processes only. */
#ifndef BASE_PROCESS_INTERNAL_H
#define BASE_PROCESS_INTERNAL_H

#include "base/process.h"

/*
 * Reads what the child says until it has closed stdout and stderr, and types the answers on its
 * terminal (tty: our side, or -1). Past the time limit ERROR_FAILED/ETIMEDOUT.
 */
int process_talk(const struct process *p, int out, int err, int tty, struct process_result *res, struct error *e);

#endif
