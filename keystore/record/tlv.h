/* The canonical encoding of a record: u16 tag, u32 length, value; big endian, ascending tags. */
#ifndef KEYSTORE_RECORD_TLV_H
#define KEYSTORE_RECORD_TLV_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLV_HEADER 6

/* Writes into buf; with buf NULL it only counts, so one function both sizes and writes. */
struct tlv_writer {
	unsigned char *buf;
	size_t len;
};

/* Reserves len bytes of value and returns where to write them; NULL when counting. */
unsigned char *tlv_reserve(struct tlv_writer *w, uint16_t tag, size_t len);
void tlv_put(struct tlv_writer *w, uint16_t tag, const void *value, size_t len);
void tlv_raw(struct tlv_writer *w, const void *items, size_t len);	/* whole items, as they are */
void tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t v);
void tlv_put_u32(struct tlv_writer *w, uint16_t tag, uint32_t v);

struct tlv_reader {
	const unsigned char *p, *end;
	uint16_t last;	/* tag before, for the order */
};

struct tlv {
	uint16_t tag;
	const unsigned char *value;
	size_t len;
};

/*
 * 1 and the next item, 0 at the end, -EBADMSG when it is cut off or out of order. Only `repeats`
 * may follow itself (0: no tag may).
 */
int tlv_next(struct tlv_reader *r, uint16_t repeats, struct tlv *ret);

bool tlv_u64(const struct tlv *t, uint64_t *ret);
bool tlv_u32(const struct tlv *t, uint32_t *ret);

#endif
