/* Sizes, times and UUIDs as a person and JSON write them. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/error.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <uuid/uuid.h>

/* "20G", "512M", "4096": powers of 1024, suffix K M G T P E; no sign, no fraction. ERROR_USAGE. */
int text_parse_size(const char *text, uint64_t *ret, struct error *e);

/* "20G" where exact, else the largest unit with one decimal: "1.5G". buf of 32 bytes is enough. */
const char *text_size(uint64_t bytes, char *buf, size_t len);

/* "90d", "2w", "12h", "30m", "45s"; a number without a unit is ERROR_USAGE too. */
int text_parse_duration(const char *text, uint64_t *ret_seconds, struct error *e);

/* The other way, exact, in the largest of d, h, m, s that divides it: "90d", "36h". buf of 32 bytes is enough. */
const char *text_duration(uint64_t seconds, char *buf, size_t len);

/* An age or what is left of a time, rounded down to one unit: "12d", "5h", "3m", "8s". buf of 32 bytes is enough. */
const char *text_age(uint64_t seconds, char *buf, size_t len);

/* RFC 3339 in UTC, "2026-11-23T18:00:00Z"; NULL for 0, which stands for "never". buf ≥ 32 bytes. */
const char *text_time(int64_t when, char *buf, size_t len);

/*
 * Replaces what could drive a terminal by question marks: control characters, those of ISO 8859-1 in UTF-8 too
 * (U+009B begins what ESC [ does). Other UTF-8 stays.
 */
void text_make_printable(char *text);

/* The columns that text takes on a terminal: wide characters two, combining ones none, in whatever locale. */
int text_columns(const char *text);

/* Lower-case hexadecimal; buf holds 2 * len + 1 bytes. */
const char *text_hex(const void *data, size_t len, char *buf);

/*
 * What base64url without padding (RFC 7515, section 2) holds, for text: with a zero byte behind it. NULL if it is
 * none, or without memory; the caller frees.
 */
char *text_base64url(const char *text, size_t len);

#endif
