/* A record's members as tables: one description writes, reads and bounds them. */
#ifndef KEYSTORE_RECORD_FIELDS_H
#define KEYSTORE_RECORD_FIELDS_H

#include "base/error.h"
#include "keystore/record/record.h"
#include "keystore/record/tlv.h"

#define RECORD_PATH_MAX 4096
#define RECORD_NAME_MAX 255	/* of a domain, a target, an algorithm, a host */
#define RECORD_DOMAINS_MAX 1024
#define RECORD_FILES_MAX 1024	/* of one workflow */
#define RECORD_TEXT_MAX 65536	/* parameters of a workflow */
#define RECORD_SECRET_MAX 65536	/* bytes of one sealed key */

/* The versions of a record that are read; the last one is written. */
#define FIELDS_VERSION_FIRST 1
#define FIELDS_VERSION 2

/* From this tag on a reader may skip what it does not know, and must write it again as it was. */
#define FIELDS_OPTIONAL 0x8000

/* The tables: what everyone with the file may read, and what only the root key opens. */
enum fields_part { FIELDS_PLAIN, FIELDS_SEALED };

void fields_write(struct tlv_writer *w, enum fields_part part, const struct record *r);

/*
 * Fills a record that holds nothing of this part yet. ERROR_DAMAGED for anything that fields_write() would not
 * write in that version: missing, repeated, misplaced or out-of-range items. ERROR_FAILED/ENOTSUP for what a newer
 * kvmcrypt wrote: a field below FIELDS_OPTIONAL or a role that is unknown here.
 */
int fields_read(struct tlv_reader *t, enum fields_part part, uint32_t version, struct record *r, struct error *e);

/* What is wrong with the plain members, or NULL. Both the writer and the reader ask. */
const char *fields_problem(const struct record *r);

/* values.c: items that are more than a number or a text. -EBADMSG: malformed; -ENOMEM. */
void domains_write(struct tlv_writer *w, uint16_t tag, const struct record *r);
int domain_read(const struct tlv *t, struct record *r);
void work_write(struct tlv_writer *w, uint16_t tag, const struct record_work *work);
int work_read(const struct tlv *t, struct record_work *ret);
/* A string of 1..max bytes without a zero byte inside, as a new one in the place of *ret. */
int text_read(const unsigned char *p, size_t len, size_t max, char **ret);
const char *work_problem(const struct record_work *w);	/* as fields_problem() */

#endif
