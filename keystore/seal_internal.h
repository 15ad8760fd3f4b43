/* Shared by the files of the seal only. */
#ifndef KEYSTORE_SEAL_INTERNAL_H
#define KEYSTORE_SEAL_INTERNAL_H

#include "keystore/seal.h"

#include <libcryptsetup.h>

struct seal {
	struct crypt_device *cd;
	int fd;		/* of the copy in memory, or of seal.new */
	int dir;	/* borrowed; only for a working copy */
	bool working, created, committed;
	char log[256];	/* libcryptsetup's last complaint */
};

/* For a secret of 256 random bits: they cannot be searched, so stretching would only cost time. */
extern const struct crypt_pbkdf_type seal_pbkdf_strong;

/* An error with libcryptsetup's own words, if it had any. */
int seal_fail(const struct seal *s, int r, const char *doing, struct error *e);

#endif
