/* A context of libcryptsetup that is silent, and the first error that it reported. */
#ifndef LIB_IMAGE_LUKS_SESSION_H
#define LIB_IMAGE_LUKS_SESSION_H

#include "base/error.h"

#include <libcryptsetup.h>

struct crypt_session {
	struct crypt_device *cd;
	char log[512];		/* since it was last emptied; what follows the first are its consequences */
};

/* Opens a context on a header, with its data (NULL: in the header's file), which has read nothing yet; s is zeroed. */
int crypt_session_open(struct crypt_session *s, const char *header, const char *data, struct error *e);

/* A context on the mapping of that name; NULL: on nothing. The errno as it is: the caller says what it wanted. */
int crypt_session_by_name(struct crypt_session *s, const char *name);

/* Also forgets the keys that libcryptsetup left in the thread's keyring: dm-crypt has its own copy. */
void crypt_session_clear(struct crypt_session *s);

/* A call failed with r: "what: its own message, or the errno". -EBUSY and -EEXIST have their kinds. */
int crypt_session_failed(const struct crypt_session *s, int r, struct error *e, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

#endif
