/*
 * Runs a command and stops it before every system call that touches a file below one directory, in
 * all its threads and children: then it may go on, fail, be killed, or wait.
 *
 * A seccomp filter stops only at the calls of the table in trace.c, everything else runs free.
 */
#ifndef TESTS_FAULT_TRACE_H
#define TESTS_FAULT_TRACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum trace_group {
	TRACE_DATA = 1,		/* what a file holds: write, truncate, allocate */
	TRACE_NAME = 2,		/* what it is called: create, rename, link, unlink */
	TRACE_SYNC = 4,
	TRACE_OPEN = 8,		/* openat of what exists */
	TRACE_LOCK = 16,	/* flock, and fcntl that takes a lock for writing */
	TRACE_TALK = 32,	/* connect to a socket, and what is sent on one */
	TRACE_OTHER = 64,	/* never by group, only by name: ioctl, keyctl */
	TRACE_CHANGE = TRACE_DATA | TRACE_NAME | TRACE_SYNC,
};

struct trace_call {
	pid_t pid;
	const char *name;
	unsigned group;
	uint64_t arg[6];
	int fd;			/* that it is about; -1: a path */
	char path[PATH_MAX];	/* the file, absolute; of two names the old one */
	char to[PATH_MAX];	/* the new name of rename and link, else "" */
};

struct trace {
	pid_t child;
	int status;		/* as of waitpid(), once trace_next() said that it ended */
	pid_t other;		/* a child of the caller's that is not traced; 0: none, or ended */
	int other_status;
	char dir[PATH_MAX];	/* "": calls on all files, paths are not looked at */
	unsigned groups;	/* which calls stop; 0: the one that is named `only` */
	const char *only;
	pid_t stopped;
};

/* Is there such a call in the table? */
bool trace_knows(const char *name);

/*
 * Starts argv, with what it prints going to the file out (NULL: as ours). dir, groups and only are
 * set by the caller before. 0 or -errno.
 */
int trace_start(struct trace *t, char *const argv[], const char *out);

/*
 * Lets it run to its next call. 1: it stopped before the call in *ret. 0: it ended, see status, and so did
 * all its children and `other`.
 */
int trace_next(struct trace *t, struct trace_call *ret);

/* The call that it stopped at is not made, and returns this: -errno, or what it would if it succeeded. */
int trace_skip(struct trace *t, const struct trace_call *c, long result);

/* Kills the process that stopped, before the call; trace_next() then runs to the end. */
void trace_kill(struct trace *t, const struct trace_call *c);

/* A string or bytes of its memory; the length, or -1. */
ssize_t trace_read(pid_t pid, uint64_t address, void *buf, size_t len);

#endif
