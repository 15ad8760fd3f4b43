/* The JWE that clevis makes for Tang servers (RFC 7516), in its two forms, and what its headers say. */
#ifndef KEYSTORE_SEAL_JWE_H
#define KEYSTORE_SEAL_JWE_H

#include "base/json.h"

#define JWE_MAX 16384

/* The JSON form of a compact one; NULL when it is none. The caller frees. */
json_object *jwe_from_compact(const char *text);
/* -EMSGSIZE when buf is too small. */
int jwe_to_compact(json_object *o, char *buf, size_t size);

/*
 * The URLs of the servers that its headers name, comma-separated, and how many of them must answer. NULL when it is not
 * what an enrolment for Tang servers writes, or without memory. The caller frees.
 */
char *jwe_servers(const char *compact, unsigned *ret_threshold);

#endif
