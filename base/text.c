#include "base/text.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <nettle/base64.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* A run of digits; *end points behind it. */
static int parse_number(const char *text, uint64_t *ret, char **end)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	unsigned long long n = strtoull(text, end, 10);
	if (errno)
		return -errno;
	*ret = n;
	return 0;
}

int text_parse_size(const char *text, uint64_t *ret, struct error *e)
{
	static const char units[] = "KMGTPE";
	uint64_t n = 0;
	unsigned shift = 0;
	char *end;
	if (parse_number(text, &n, &end) < 0)
		goto bad;
	if (*end) {
		const char *unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || !*unit)
			goto bad;
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		/* "GiB" means the same power of 1024; a bare "GB" would not. */
		if (!strcmp(end, "iB"))
			end += 2;
	}
	if (*end || (shift && n >> (64 - shift)))
		goto bad;
	*ret = n << shift;
	return 0;
bad:
	return error_set(e, ERROR_USAGE, EINVAL, "'%s' is not a size; write it as 20G, 512M or bytes",
			 text);
}

const char *text_size(uint64_t bytes, char *buf, size_t len)
{
	static const char units[] = "BKMGTPE";
	unsigned u = 0;
	while (u < 6 && bytes >> (10 * (u + 1)))
		u++;
	uint64_t one = UINT64_C(1) << (10 * u);
	if (u == 0)
		snprintf(buf, len, "%llu", (unsigned long long)bytes);
	else if (bytes % one == 0)
		snprintf(buf, len, "%llu%c", (unsigned long long)(bytes / one), units[u]);
	else
		snprintf(buf, len, "%.1f%c", (double)bytes / (double)one, units[u]);
	return buf;
}

/* The last one is what is left when no larger one fits. */
static const struct {
	uint64_t seconds;
	char letter;
} durations[] = { { 7 * 86400, 'w' }, { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };

int text_parse_duration(const char *text, uint64_t *ret_seconds, struct error *e)
{
	uint64_t n = 0;
	char *end;
	if (parse_number(text, &n, &end) == 0 && n && n <= UINT32_MAX) {
		if (!*end)
			return error_set(e, ERROR_USAGE, EINVAL,
					 "'%s' has no unit; write it as %sd for days, or with w, h, m or s", text,
					 text);
		for (size_t i = 0; i < ARRAY_LEN(durations); i++)
			if (*end == durations[i].letter && !end[1]) {
				*ret_seconds = n * durations[i].seconds;
				return 0;
			}
	}
	return error_set(e, ERROR_USAGE, EINVAL, "'%s' is not a duration; write it as 90d, 2w, 12h, 30m or 45s", text);
}

static const char *in_unit(uint64_t seconds, size_t i, char *buf, size_t len)
{
	snprintf(buf, len, "%llu%c", (unsigned long long)(seconds / durations[i].seconds), durations[i].letter);
	return buf;
}

const char *text_duration(uint64_t seconds, char *buf, size_t len)
{
	/* Nobody writes 90 days in weeks or 8 hours in seconds. */
	size_t i = 1;
	while (seconds && seconds % durations[i].seconds)
		i++;
	return in_unit(seconds, seconds ? i : ARRAY_LEN(durations) - 1, buf, len);
}

const char *text_age(uint64_t seconds, char *buf, size_t len)
{
	size_t i = 1;
	while (i < ARRAY_LEN(durations) - 1 && seconds < durations[i].seconds)
		i++;
	return in_unit(seconds, i, buf, len);
}

const char *text_time(int64_t when, char *buf, size_t len)
{
	time_t t = (time_t)when;
	struct tm tm;
	if (when == 0 || !gmtime_r(&t, &tm))
		return NULL;
	strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

void text_make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
		if (*p < 0x20 || *p == 0x7f || c1)
			*p = '?';
		if (c1)
			*++p = '?';
	}
}

/* Without a locale that knows characters, each is taken for one column. */
static int columns_in(locale_t locale, const char *text)
{
	mbstate_t state = { 0 };
	int columns = 0;
	while (*text) {
		wchar_t c;
		size_t n = locale ? mbrtowc(&c, text, MB_CUR_MAX, &state) : (size_t)-1;
		bool character = n != (size_t)-1 && n != (size_t)-2;
		int width = character ? wcwidth(c) : (*text & 0xc0) != 0x80;
		columns += width < 0 ? 1 : width;
		text += character ? n : 1;
		if (!character)
			memset(&state, 0, sizeof(state));
	}
	return columns;
}

int text_columns(const char *text)
{
	size_t len = strlen(text);
	const char *p = text;
	while (*p && !(*p & 0x80))
		p++;
	if (!*p)
		return (int)len;
	locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = locale ? uselocale(locale) : (locale_t)0;
	int columns = columns_in(locale, text);
	if (locale) {
		uselocale(before);
		freelocale(locale);
	}
	return columns;
}

const char *text_hex(const void *data, size_t len, char *buf)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++)
		snprintf(buf + 2 * i, 3, "%02x", p[i]);
	buf[2 * len] = 0;
	return buf;
}

char *text_base64url(const char *text, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t padded = (len + 3) / 4 * 4;
	static const char padding[] = "==";
	struct base64_decode_ctx ctx;
	size_t n = 0, last = 0;
	/* Nettle's decoder skips white space and takes '=' itself. */
	if (len % 4 == 1 || strspn(text, alphabet) < len)
		return NULL;
	AUTOFREE char *out = calloc(1, BASE64_DECODE_LENGTH(padded) + 1);
	if (!out)
		return NULL;
	base64url_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &n, (uint8_t *)out, len, text) ||
	    !base64_decode_update(&ctx, &last, (uint8_t *)out + n, padded - len, padding) || !base64_decode_final(&ctx))
		return NULL;
	return TAKE_PTR(out);
}
