/*
 * What a VNC server gives to somebody who has no password and no certificate (RFC 6143, and VeNCrypt 0.2). It goes as
 * far as that answer and not further: no screen is asked for, so no other viewer is thrown out.
 */
#ifndef LIB_POSTURE_HOST_RFB_H
#define LIB_POSTURE_HOST_RFB_H

#include "lib/posture/host/wire.h"

#define RFB_NONE 1
#define RFB_PASSWORD 2
#define RFB_VENCRYPT 19
#define RFB_SASL 20

/* Of VeNCrypt: how one is known after TLS, and whether the server has a certificate (x509) or not (tls). */
#define RFB_PLAIN 256
#define RFB_TLS_NONE 257
#define RFB_TLS_PASSWORD 258
#define RFB_TLS_PLAIN 259
#define RFB_X509_NONE 260
#define RFB_X509_PASSWORD 261
#define RFB_X509_PLAIN 262
#define RFB_X509_SASL 263
#define RFB_TLS_SASL 264

enum rfb_end {
	RFB_CONSOLE,  /* the console is given */
	RFB_CUT_OFF,  /* after TLS it ends the connection: it wants a certificate */
	RFB_ASKS,     /* for a password, or by SASL for who one is */
	RFB_NO_PROBE, /* it offers only what cannot be tried without a secret, or what we do not speak */
};

#define RFB_TYPES_MAX 16

struct rfb_seen {
	uint8_t types[RFB_TYPES_MAX]; /* that it offers */
	size_t n_types;
	uint32_t subtypes[RFB_TYPES_MAX]; /* of VeNCrypt */
	size_t n_subtypes;
	enum rfb_end end;
	char mechanisms[128]; /* of SASL; "": it has none, so nobody gets in */
	struct tls_seen tls;
};
void rfb_seen_clear(struct rfb_seen *s);
#define AUTORFB CLEANUP(rfb_seen_clear)

/* Of a connection that was just made. ERROR_FAILED as in wire.h; EPROTO: what it says is no RFB. Clear *ret always. */
int rfb_probe(struct wire *w, struct rfb_seen *ret, struct error *e);

bool rfb_offers(const struct rfb_seen *s, uint8_t type);

/* Does it ask, or have, this much: any subtype from `first` to `last`? */
bool rfb_has_subtype(const struct rfb_seen *s, uint32_t first, uint32_t last);

/* How it lets people in, for a person: "none", "vencrypt (x509-none)"; buf of 256 bytes is enough. */
const char *rfb_text(const struct rfb_seen *s, char *buf, size_t len);

#endif
