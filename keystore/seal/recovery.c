#include "keystore/seal/recovery.h"

#include "keystore/seal/kind.h"

#include <string.h>

#define RECOVERY_BYTES 32
#define RECOVERY_CHARS 52
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* Base32 without padding, a dash after every fourth character. */
static void encode(const unsigned char *raw, unsigned char *text)
{
	unsigned acc = 0, bits = 0;
	size_t in = 0;
	for (size_t i = 0; i < RECOVERY_CHARS; i++) {
		if (bits < 5) {
			acc = acc << 8 | (in < RECOVERY_BYTES ? raw[in] : 0);
			in++;
			bits += 8;
		}
		if (i && i % 4 == 0)
			*text++ = '-';
		bits -= 5;
		*text++ = (unsigned char)alphabet[acc >> bits & 31];
	}
	secret_wipe(&acc, sizeof(acc));
}

int recovery_generate(struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *raw = NULL;
	AUTOSECRET struct secret *text = NULL;
	int r = secret_random(RECOVERY_BYTES, &raw, e);
	if (r < 0 || (r = secret_new(RECOVERY_LEN, &text, e)) < 0)
		return r;
	encode(raw->data, text->data);
	*ret = TAKE_PTR(text);
	return 0;
}

/* The base32 character that c stands for, 0 for one to skip, -1 for none. */
static int normalise(unsigned char c)
{
	switch (c) {
	case '-': case ' ': case '\t': case '\r': case '\n':
		return 0;
	case '0':
		return 'O';
	case '1':
		return 'I';
	case '8':
		return 'B';
	}
	if (c >= 'a' && c <= 'z')
		c = (unsigned char)(c - 'a' + 'A');
	return (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7') ? c : -1;
}

int recovery_parse(const struct secret *text, bool *ret_found, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *out = NULL;
	size_t n = 0;
	int r = secret_new(RECOVERY_LEN, &out, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < text->len; i++) {
		int c = normalise(text->data[i]);
		if (!c)
			continue;
		if (c < 0 || n == RECOVERY_CHARS)
			goto not_one;
		out->data[n / 4 * 5 + n % 4] = (unsigned char)c;
		n++;
		if (n % 4 == 0 && n < RECOVERY_CHARS)
			out->data[n / 4 * 5 - 1] = '-';
	}
	/* 52 characters hold 260 bits: the last four are zero, so it is A or Q at the end. */
	if (n != RECOVERY_CHARS ||
	    (out->data[RECOVERY_LEN - 1] != 'A' && out->data[RECOVERY_LEN - 1] != 'Q'))
		goto not_one;
	*ret_found = true;
	*ret = TAKE_PTR(out);
	return 0;
not_one:
	*ret_found = false;
	return 0;
}

static bool is_strong(const struct secret *key)
{
	(void)key;
	return true;
}

/* As a person writes it: the canonical text opens the keyslot. */
static int canonical(const struct secret *text, struct secret **ret, enum error_kind kind, struct error *e)
{
	bool found = false;
	int r = text ? recovery_parse(text, &found, ret, e) : 0;
	return r < 0 || found ? r : error_set(e, kind, EKEYREJECTED, "this is not a recovery key");
}

static int fit(const struct credential *c, struct credential *ret, struct secret **ret_own, struct error *e)
{
	int r = canonical(c->key, ret_own, ERROR_USAGE, e);
	if (r < 0)
		return r;
	*ret = *c;
	ret->key = *ret_own;
	return 0;
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret,
		   struct error *e)
{
	(void)s, (void)slot;
	return canonical(key, ret, ERROR_BAD_KEY, e);
}

const struct slot_kind slot_kind_recovery = { .name = "recovery", .fit = fit, .is_strong = is_strong, .open = open_it };
