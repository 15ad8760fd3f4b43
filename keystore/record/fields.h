/* A record's members as tables: one description writes, reads and bounds them. */
#ifndef KEYSTORE_RECORD_FIELDS_H
#define KEYSTORE_RECORD_FIELDS_H

#include "base/error.h"
#include "keystore/record/record.h"
#include "keystore/record/tlv.h"

#define RECORD_PATH_MAX 4096
#define RECORD_NAME_MAX 255	/* of a domain, a target, an algorithm */
#define RECORD_DOMAINS_MAX 1024
#define RECORD_SECRET_MAX 65536	/* bytes of one sealed key */

/* The tables: what everyone with the file may read, and what only the root key opens. */
enum fields_part { FIELDS_PLAIN, FIELDS_SEALED };

void fields_write(struct tlv_writer *w, enum fields_part part, const struct record *r);

/*
 * Fills a record that holds nothing of this part yet. ERROR_DAMAGED for anything that
 * fields_write() would not write: unknown, missing, repeated, misplaced or out-of-range items.
 */
int fields_read(struct tlv_reader *t, enum fields_part part, struct record *r, struct error *e);

/* What is wrong with the plain members, or NULL. Both the writer and the reader ask. */
const char *fields_problem(const struct record *r);

#endif
