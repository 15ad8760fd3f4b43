/*
 * A record as bytes: the plain part for everyone, the sealed part under a key derived from the
 * root key for this record and this write alone. The plain part is associated data of the sealed.
 */
#ifndef KEYSTORE_RECORD_ENVELOPE_H
#define KEYSTORE_RECORD_ENVELOPE_H

#include "base/error.h"
#include "base/secret.h"
#include "keystore/record/record.h"

#define ENVELOPE_MAX (1024u * 1024)

/* Seals r as the given revision; ERROR_USAGE when a member is out of range. Caller frees. */
int envelope_seal(const struct secret *root, const uuid_t root_id, const struct record *r,
		  uint64_t revision, unsigned char **ret, size_t *ret_len, struct error *e);

/* The plain part, believed but not verified. The record keeps a copy of the bytes. */
int envelope_parse(const void *data, size_t len, struct record **ret, struct error *e);

/*
 * Verifies r->envelope and, with reveal, replaces the sealed members of r by those in it.
 * Members that the caller has changed since envelope_parse() stay as they are.
 * ERROR_DAMAGED: changed, or sealed under another root key.
 */
int envelope_open(const struct secret *root, const uuid_t root_id, struct record *r, bool reveal,
		  struct error *e);

#endif
