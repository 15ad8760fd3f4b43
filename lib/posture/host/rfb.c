#include "lib/posture/host/rfb.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void rfb_seen_clear(struct rfb_seen *s)
{
	tls_seen_clear(&s->tls);
	*s = (struct rfb_seen){ 0 };
}

static int garbage(struct error *e)
{
	return error_set(e, ERROR_FAILED, EPROTO, "what it says is not VNC's protocol");
}

/* Whatever it speaks, we take 3.8 if it is there, and 3.3 with its single type otherwise. */
static int greet(struct wire *w, int *ret_minor, struct error *e)
{
	char version[13] = "";
	int major, minor;
	int r = wire_read(w, version, 12, e);
	if (r < 0)
		return r;
	if (sscanf(version, "RFB %3d.%3d", &major, &minor) != 2 || version[11] != '\n' || major != 3)
		return garbage(e);
	*ret_minor = minor >= 8 ? 8 : minor >= 7 ? 7 : 3;
	snprintf(version, sizeof(version), "RFB 003.%03d\n", *ret_minor);
	return wire_write(w, version, 12, e);
}

static int read_types(struct wire *w, int minor, struct rfb_seen *s, struct error *e)
{
	uint8_t n, types[256];
	uint32_t one;
	int r;
	if (minor < 7) {
		r = wire_read_u32(w, &one, e);
		if (r == 0 && (one == 0 || one > UINT8_MAX))
			r = garbage(e);
		if (r == 0)
			s->types[s->n_types++] = (uint8_t)one;
		return r;
	}
	r = wire_read(w, &n, 1, e);
	if (r == 0 && n == 0)
		return error_set(e, ERROR_FAILED, EACCES, "it refuses everybody now");
	if (r == 0)
		r = wire_read(w, types, n, e);
	for (int i = 0; r == 0 && i < n && s->n_types < RFB_TYPES_MAX; i++)
		s->types[s->n_types++] = types[i];
	return r;
}

/* The list that SASL begins with; a length that is none of a list is a lie. */
static int read_mechanisms(struct wire *w, struct rfb_seen *s, struct error *e)
{
	uint32_t len;
	int r = wire_read_u32(w, &len, e);
	if (r == 0 && len >= sizeof(s->mechanisms))
		r = garbage(e);
	if (r == 0)
		r = wire_read(w, s->mechanisms, len, e);
	if (r < 0)
		return r;
	text_make_printable(s->mechanisms);
	s->end = RFB_ASKS;
	return 0;
}

/* Is the console given now? */
static int read_result(struct wire *w, struct rfb_seen *s, struct error *e)
{
	uint32_t result;
	int r = wire_read_u32(w, &result, e);
	if (r == 0 && result > 2)
		r = garbage(e);
	/* It offered to ask for nothing, and then says no: that is no answer to what it asks for. */
	if (r == 0 && result != 0)
		r = error_set(e, ERROR_FAILED, EACCES, "it refuses what it offers");
	if (r == 0)
		s->end = RFB_CONSOLE;
	return r;
}

/* The subtype that tells most to somebody without a secret. */
static uint32_t choose_subtype(const struct rfb_seen *s)
{
	static const uint32_t best[] = { RFB_X509_NONE, RFB_X509_SASL, RFB_X509_PASSWORD, RFB_X509_PLAIN };
	for (size_t i = 0; i < ARRAY_LEN(best); i++)
		if (rfb_has_subtype(s, best[i], best[i]))
			return best[i];
	return 0;
}

static int read_subtypes(struct wire *w, struct rfb_seen *s, struct error *e)
{
	uint8_t version[2], ack, n;
	int r = wire_read(w, version, 2, e);
	if (r == 0 && (version[0] != 0 || version[1] != 2))
		r = garbage(e);
	if (r == 0)
		r = wire_write(w, version, 2, e);
	if (r == 0)
		r = wire_read(w, &ack, 1, e);
	if (r == 0 && ack != 0)
		r = garbage(e);
	if (r == 0)
		r = wire_read(w, &n, 1, e);
	if (r == 0 && n == 0)
		r = garbage(e);
	for (int i = 0; r == 0 && i < n; i++) {
		uint32_t one;
		r = wire_read_u32(w, &one, e);
		if (r == 0 && s->n_subtypes < RFB_TYPES_MAX)
			s->subtypes[s->n_subtypes++] = one;
	}
	return r;
}

/* After TLS: who is verified without a certificate is cut off at the first read. */
static int after_tls(struct wire *w, uint32_t subtype, struct rfb_seen *s, struct error *e)
{
	uint8_t challenge[16];
	int r = 0;
	if (subtype == RFB_X509_NONE)
		r = read_result(w, s, e);
	else if (subtype == RFB_X509_SASL)
		r = read_mechanisms(w, s, e);
	else if (subtype == RFB_X509_PASSWORD)
		r = wire_read(w, challenge, sizeof(challenge), e);
	if (r == -ECONNRESET)
		s->end = RFB_CUT_OFF;
	else if (r == 0 && subtype == RFB_X509_PASSWORD)
		s->end = RFB_ASKS;
	return r == -ECONNRESET ? 0 : r;
}

static int probe_vencrypt(struct wire *w, struct rfb_seen *s, struct error *e)
{
	uint8_t accepted;
	int r = read_subtypes(w, s, e);
	uint32_t subtype = r == 0 ? choose_subtype(s) : 0;
	if (r < 0 || !subtype)
		return r;
	r = wire_write_u32(w, subtype, e);
	if (r == 0)
		r = wire_read(w, &accepted, 1, e);
	if (r == 0 && accepted != 1)
		r = error_set(e, ERROR_FAILED, EACCES, "it refuses the kind of TLS that it offers");
	if (r == 0)
		r = wire_tls(w, &s->tls, e);
	return r < 0 ? r : after_tls(w, subtype, s, e);
}

int rfb_probe(struct wire *w, struct rfb_seen *ret, struct error *e)
{
	int minor = 0;
	ret->end = RFB_NO_PROBE;
	int r = greet(w, &minor, e);
	if (r == 0)
		r = read_types(w, minor, ret, e);
	if (r < 0)
		return r;
	/* From the most open one on: where none is offered, the console is there for all. */
	uint8_t type = rfb_offers(ret, RFB_NONE)       ? RFB_NONE
		       : rfb_offers(ret, RFB_VENCRYPT) ? RFB_VENCRYPT
		       : rfb_offers(ret, RFB_SASL)     ? RFB_SASL
						       : 0;
	if (!type) {
		ret->end = rfb_offers(ret, RFB_PASSWORD) ? RFB_ASKS : RFB_NO_PROBE;
		return 0;
	}
	if (minor >= 7)
		r = wire_write(w, &type, 1, e);
	if (r < 0)
		return r;
	if (type == RFB_VENCRYPT)
		return probe_vencrypt(w, ret, e);
	if (type == RFB_SASL)
		return read_mechanisms(w, ret, e);
	/* Before 3.8 nothing comes after "none": it is given. */
	if (minor == 8)
		return read_result(w, ret, e);
	ret->end = RFB_CONSOLE;
	return 0;
}

bool rfb_offers(const struct rfb_seen *s, uint8_t type)
{
	return memchr(s->types, type, s->n_types) != NULL;
}

bool rfb_has_subtype(const struct rfb_seen *s, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < s->n_subtypes; i++)
		if (s->subtypes[i] >= first && s->subtypes[i] <= last)
			return true;
	return false;
}

static const struct {
	uint32_t number;
	const char *name;
} names[] = {
	{ RFB_NONE, "none" },
	{ RFB_PASSWORD, "password" },
	{ RFB_VENCRYPT, "vencrypt" },
	{ RFB_SASL, "sasl" },
	{ RFB_PLAIN, "plain" },
	{ RFB_TLS_NONE, "tls-none" },
	{ RFB_TLS_PASSWORD, "tls-password" },
	{ RFB_TLS_PLAIN, "tls-plain" },
	{ RFB_X509_NONE, "x509-none" },
	{ RFB_X509_PASSWORD, "x509-password" },
	{ RFB_X509_PLAIN, "x509-plain" },
	{ RFB_X509_SASL, "x509-sasl" },
	{ RFB_TLS_SASL, "tls-sasl" },
};

static void add_name(char *buf, size_t len, uint32_t number)
{
	size_t at = strlen(buf);
	const char *comma = at && buf[at - 1] != '(' ? ", " : "";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].number == number) {
			snprintf(buf + at, len - at, "%s%s", comma, names[i].name);
			return;
		}
	snprintf(buf + at, len - at, "%stype %u", comma, number);
}

const char *rfb_text(const struct rfb_seen *s, char *buf, size_t len)
{
	*buf = 0;
	for (size_t i = 0; i < s->n_types; i++)
		add_name(buf, len, s->types[i]);
	if (!s->n_subtypes)
		return buf;
	snprintf(buf + strlen(buf), len - strlen(buf), " (");
	for (size_t i = 0; i < s->n_subtypes; i++)
		add_name(buf, len, s->subtypes[i]);
	snprintf(buf + strlen(buf), len - strlen(buf), ")");
	return buf;
}
