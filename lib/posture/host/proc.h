/*
 * A process by its directory in /proc, opened once: its number may be given to another one, the descriptor is not.
 */
#ifndef LIB_POSTURE_HOST_PROC_H
#define LIB_POSTURE_HOST_PROC_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
	int fd; /* of /proc/PID; -1: none */
	pid_t pid;
	char *status;	 /* /proc/PID/status, read once */
	char *arguments; /* /proc/PID/cmdline, read once: n zero-terminated strings */
	size_t len;
};

/* ERROR_NOT_FOUND when there is no such process (any more). */
int proc_open(pid_t pid, struct proc *ret, struct error *e);
void proc_close(struct proc *p);
#define AUTOPROC CLEANUP(proc_close)

/* A whole file of its directory, zero-terminated; the caller frees. *ret_len may be NULL. */
int proc_read(const struct proc *p, const char *name, char **ret, size_t *ret_len, struct error *e);

/* What a link of its directory names ("exe", "ns/mnt"). */
int proc_link(const struct proc *p, const char *name, char *buf, size_t len, struct error *e);

/* The line "NAME:" of its status: what stands behind it, or NULL. Lasts as long as p. */
const char *proc_status(const struct proc *p, const char *name, char *buf, size_t len);

/* A field of status in hexadecimal, such as CapEff. False: there is none. */
bool proc_status_hex(const struct proc *p, const char *name, uint64_t *ret);

/* The argument behind `option`, the i-th time (from 0) that it is given; NULL: not given so often. */
const char *proc_argument(const struct proc *p, const char *option, unsigned i);

/* The soft limit of `name` in /proc/PID/limits ("Max core file size"); UINT64_MAX: unlimited. */
int proc_limit(const struct proc *p, const char *name, uint64_t *ret, struct error *e);

#endif
