#include "keystore/record/tlv.h"

#include <errno.h>
#include <string.h>

unsigned char *tlv_reserve(struct tlv_writer *w, uint16_t tag, size_t len)
{
	unsigned char *value = NULL;
	if (w->buf) {
		put_be(w->buf + w->len, tag, 2);
		put_be(w->buf + w->len + 2, len, 4);
		value = w->buf + w->len + TLV_HEADER;
	}
	w->len += TLV_HEADER + len;
	return value;
}

void tlv_put(struct tlv_writer *w, uint16_t tag, const void *value, size_t len)
{
	unsigned char *p = tlv_reserve(w, tag, len);
	if (p && len)
		memcpy(p, value, len);
}

void tlv_raw(struct tlv_writer *w, const void *items, size_t len)
{
	if (w->buf)
		memcpy(w->buf + w->len, items, len);
	w->len += len;
}

void tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t v)
{
	unsigned char *p = tlv_reserve(w, tag, 8);
	if (p)
		put_be(p, v, 8);
}

void tlv_put_u32(struct tlv_writer *w, uint16_t tag, uint32_t v)
{
	unsigned char *p = tlv_reserve(w, tag, 4);
	if (p)
		put_be(p, v, 4);
}

int tlv_next(struct tlv_reader *r, uint16_t repeats, struct tlv *ret)
{
	size_t left = (size_t)(r->end - r->p);
	if (!left)
		return 0;
	if (left < TLV_HEADER)
		return -EBADMSG;
	uint16_t tag = (uint16_t)get_be(r->p, 2);
	size_t len = (size_t)get_be(r->p + 2, 4);
	if (len > left - TLV_HEADER)
		return -EBADMSG;
	/* Tag 0 does not exist, so the first item passes this test too. */
	if (tag < r->last || (tag == r->last && (tag != repeats || !tag)))
		return -EBADMSG;
	*ret = (struct tlv){ .tag = tag, .value = r->p + TLV_HEADER, .len = len };
	r->last = tag;
	r->p += TLV_HEADER + len;
	return 1;
}

bool tlv_u64(const struct tlv *t, uint64_t *ret)
{
	if (t->len != 8)
		return false;
	*ret = get_be(t->value, 8);
	return true;
}

bool tlv_u32(const struct tlv *t, uint32_t *ret)
{
	if (t->len != 4)
		return false;
	*ret = (uint32_t)get_be(t->value, 4);
	return true;
}
