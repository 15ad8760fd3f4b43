/* Whose keys a Tang server signs its advertisement with: what a person has to trust, once. */
#ifndef KEYSTORE_SEAL_TANG_TRUST_H
#define KEYSTORE_SEAL_TANG_TRUST_H

#include "base/error.h"

/*
 * The thumbprint (RFC 7638, SHA-256) of the key that signs the advertisement at URL/adv, asked of the server by
 * curl and computed by jose. With several signing keys it is the first one's: any one is enough for clevis. The caller
 * frees. ERROR_FAILED when the server does not answer.
 */
int tang_thumbprint(const char *url, char **ret, struct error *e);

#endif
