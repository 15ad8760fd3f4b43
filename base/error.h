/* One error type for all rooms: what happened, as kind, errno and one line for a person. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

/* The value of a kind is the exit code of the program (see EXIT STATUS in kvmcrypt(1)). */
enum error_kind {
	ERROR_NONE = 0,
	ERROR_FAILED = 1,	/* none of the below */
	ERROR_USAGE = 2,	/* wrong usage */
	ERROR_SEALED = 3,	/* keystore is sealed */
	ERROR_NOT_FOUND = 4,	/* no such volume, domain, keystore, file */
	ERROR_BAD_KEY = 5,	/* wrong passphrase or key */
	ERROR_BUSY = 6,		/* in use or locked by another process */
	ERROR_DAMAGED = 7,	/* damaged or untrusted image, record or store */
	ERROR_LIBVIRT = 8,	/* libvirt cannot be reached or refused */
	ERROR_REFUSED = 9,	/* refused for safety */
	ERROR_EXISTS = 10,	/* exists already */
};

struct error {
	enum error_kind kind;
	int err;		/* positive errno */
	char message[1024];	/* one line, no newline, no secret, no control characters */
};

/*
 * Fills *e (NULL is allowed) and returns -err; err 0 stands for EIO so that the result is
 * always negative. An untrusted string in the arguments is safe: control characters are
 * replaced, so that an image cannot write escape sequences to a terminal or a log.
 */
int error_set(struct error *e, enum error_kind kind, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As error_set() with ": strerror(err)" added. */
int error_errno(struct error *e, enum error_kind kind, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "context: " before the message; returns -e->err (-EIO for a NULL e). */
int error_prefix(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The kind for a failed system call on a file: ENOENT → NOT_FOUND, EEXIST → EXISTS, EBUSY → BUSY … */
enum error_kind error_kind_of_errno(int err);

/* The stable name of a kind as JSON shows it: "sealed", "not_found" … */
const char *error_kind_name(enum error_kind kind);

/* Out of memory: error_set() with ENOMEM. */
int error_oom(struct error *e);

/* Hands on an error that was kept apart: *e (or nowhere) becomes *from; returns its -errno. */
int error_pass(struct error *e, const struct error *from);

#endif
