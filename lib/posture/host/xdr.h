/* XDR (RFC 4506), which libvirt's protocol is written in. */
#ifndef LIB_POSTURE_HOST_XDR_H
#define LIB_POSTURE_HOST_XDR_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdio.h>

/* What is left to read; once it was too short it is bad, and all that is read from it is 0 or "". */
struct xdr {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static inline const uint8_t *xdr_take(struct xdr *x, size_t len)
{
	if (x->bad || len > x->left) {
		x->bad = true;
		return NULL;
	}
	const uint8_t *at = x->at;
	x->at += len;
	x->left -= len;
	return at;
}

static inline uint32_t xdr_u32(struct xdr *x)
{
	const uint8_t *at = xdr_take(x, 4);
	return at ? get_be32(at) : 0;
}

static inline uint64_t xdr_u64(struct xdr *x)
{
	const uint8_t *at = xdr_take(x, 8);
	return at ? get_be64(at) : 0;
}

/* A text, cut off at len; the rest of it is passed by. */
static inline void xdr_text(struct xdr *x, char *buf, size_t len)
{
	uint32_t n = xdr_u32(x);
	const uint8_t *at = n <= x->left ? xdr_take(x, n) : NULL;
	if (!at)
		x->bad = true;
	snprintf(buf, len, "%.*s", at ? (int)n : 0, at ? (const char *)at : "");
	if (at)
		xdr_take(x, (4 - n % 4) % 4);
}

#endif
