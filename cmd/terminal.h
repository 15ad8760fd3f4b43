/* The terminal of the person: questions, and a line typed without echo. */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H

#include "base/secret.h"

/* The controlling terminal, whatever stdin and stdout are; -1 without one. */
int terminal_open(void);

/* Prints a question. Names in it are not ours: nothing in them may drive the terminal. */
void terminal_ask(int tty, const char *question);

void terminal_end_line(int tty);

/*
 * Asks and reads one line, echo off, without its newline. A signal that ends the process gives the
 * terminal its echo back first: ERROR_FAILED/EINTR, and terminal_stopped_by() tells which it was.
 */
int terminal_read_silent(int tty, const char *prompt, struct secret **ret, struct error *e);

/* A line that may be seen while it is typed. */
int terminal_read_line(int tty, const char *prompt, struct secret **ret, struct error *e);

/* The signal that stopped a terminal_read_silent(), to end by once all is cleaned up; 0: none. */
int terminal_stopped_by(void);

#endif
