/* Shared by the files of the seal only. */
#ifndef KEYSTORE_SEAL_INTERNAL_H
#define KEYSTORE_SEAL_INTERNAL_H

#include "keystore/seal/seal.h"

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

bool seal_is_active(const struct seal *s, int slot);
/* 0 with the root key, -EKEYREJECTED when the key does not fit, else another error. */
int seal_try_slot(const struct seal *s, int slot, const struct secret *key, struct secret **ret, struct error *e);
/*
 * Adds a keyslot for this key, strong (256 random bits) or from a person, with this number or
 * CRYPT_ANY_SLOT. Returns its number, or an error.
 */
int seal_add_key(struct seal *s, int slot, const struct secret *root, const struct secret *key, bool strong,
		 struct error *e);
/* A copy in memory of the file of this name. */
int seal_load_file(int dir, const char *name, struct seal **ret, struct error *e);
/* Is it the one with this digest, or the very file with this hash? */
bool seal_is(int dir, const char *name, const unsigned char want[HASH_LEN]);
/* The header was changed by another program: read it again. */
int seal_reload(struct seal *s, struct error *e);

/* An error with libcryptsetup's own words, if it had any. */
int seal_fail(const struct seal *s, int r, const char *doing, struct error *e);

#endif
