/* Recovery keys: 256 random bits that a person can write down and type again. */
#ifndef KEYSTORE_SEAL_RECOVERY_H
#define KEYSTORE_SEAL_RECOVERY_H

#include "base/error.h"
#include "base/secret.h"

/* 52 base32 characters in 13 groups of 4, joined by dashes. */
#define RECOVERY_LEN (13 * 4 + 12)

int recovery_generate(struct secret **ret, struct error *e);

/*
 * Does the text read as a recovery key? Case, dashes and white space do not matter, and 0, 1, 8
 * are read as O, I, B, which base32 has instead. If so *ret_found is true and *ret is the
 * canonical text, which is what opens the keyslot.
 */
int recovery_parse(const struct secret *text, bool *ret_found, struct secret **ret, struct error *e);

#endif
