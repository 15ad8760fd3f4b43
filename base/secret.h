/*
 * Key bytes live only here: an own memory mapping, locked, left out of core dumps, zeroed in a
 * forked child and wiped on free. Never copy ->data into a char * or a stack buffer.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct secret {
	unsigned char *data;
	size_t len;	/* bytes; may be lowered by the owner, never raised */
	size_t mapped;	/* bytes of the mapping, for secret_free() */
};

/* The longest secret a person or a file may hand in, as cryptsetup's key file limit. */
#define SECRET_MAX (8u * 1024 * 1024)
/* What can be held: a page more, for the byte that tells that an input is too long. */
#define SECRET_HELD_MAX (SECRET_MAX + 4096)

/* A passphrase we generate: 256 bits as base64url without padding (RFC 4648, section 5). */
#define SECRET_GENERATED_BITS 256
#define SECRET_GENERATED_LEN 43

/* Takes RLIMIT_CORE to 0 and clears PR_SET_DUMPABLE. Call it before the first secret exists. */
int secret_protect_process(struct error *e);

/* A zeroed secret of len > 0 bytes; the caller frees it. -ENOMEM when it cannot be locked. */
int secret_new(size_t len, struct secret **ret, struct error *e);

/* len bytes of the system's random generator. */
int secret_random(size_t len, struct secret **ret, struct error *e);

/* A copy of len bytes; wiping the source is up to its owner. */
int secret_copy(const void *data, size_t len, struct secret **ret, struct error *e);

/* A new passphrase of SECRET_GENERATED_LEN characters. QEMU wants UTF-8, so it is text. */
int secret_generate_passphrase(struct secret **ret, struct error *e);

/*
 * Reads fd to its end, at most max and SECRET_MAX bytes (more is ERROR_USAGE, as is an
 * empty input); `what` names the input in errors. With strip_newline one trailing newline is dropped, as it is for a
 * passphrase that an editor wrote.
 */
int secret_read_fd(int fd, size_t max, bool strip_newline, const char *what, struct secret **ret,
		   struct error *e);

/* Base64 (RFC 4648, section 4) of s, as a secret. */
int secret_base64(const struct secret *s, struct secret **ret, struct error *e);

/* Compares in a time that depends on the lengths only. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* Of len bytes each, in constant time too: for a MAC or a digest of a key. */
bool secret_same(const void *a, const void *b, size_t len);

/* Wipes and unmaps; NULL is fine. */
void secret_free(struct secret *s);

/* Wipes memory that is not a struct secret (a library's buffer); not optimised away. */
void secret_wipe(void *p, size_t len);

/* The 4 KiB of stack below the caller's frame: what a function of a library may have left there. */
void secret_wipe_stack(void);

static inline void secret_freep(struct secret **s)
{
	secret_free(*s);
	*s = NULL;
}
#define AUTOSECRET CLEANUP(secret_freep)

#endif
