/* Whose keys a Tang server signs its advertisement with: what a person has to trust, once. */
#ifndef KEYSTORE_SEAL_TANG_TRUST_H
#define KEYSTORE_SEAL_TANG_TRUST_H

#include "base/error.h"

#include <stdbool.h>

/*
 * Is this http(s)://HOST…, in characters of a URL alone? Shell scripts, curl and jose get it, and one that begins with
 * a dash would be an option to them, file:// a file.
 */
bool tang_url_fits(const char *url);

/*
 * The thumbprint (RFC 7638, SHA-256) of the key that signs the advertisement at URL/adv, asked of the server by
 * curl and computed by jose. With several signing keys it is the first one's: any one is enough for clevis. The caller
 * frees. ERROR_FAILED when the server does not answer.
 */
int tang_thumbprint(const char *url, char **ret, struct error *e);

#endif
