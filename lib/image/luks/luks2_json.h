/* Reading the JSON of a LUKS2 header, of which nothing is taken for granted. */
#ifndef LIB_IMAGE_LUKS_LUKS2_JSON_H
#define LIB_IMAGE_LUKS_LUKS2_JSON_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json_object json;

/* An object, or NULL. Caller puts it. */
json *luks2_parse(const char *text, size_t len);

/* The member if it is there and of that type. o may be NULL. */
json *luks2_get(json *o, const char *key, json_type type);
const char *luks2_text(json *o, const char *key);	/* "" when there is none */

/* LUKS2 writes 64-bit numbers as decimal strings (spec 3.1); small ones are JSON integers. */
bool luks2_number(json *o, const char *key, uint64_t *ret);

/* Base64 of known maximal length into a buffer; returns the number of bytes, -1 if it is wrong. */
int luks2_decode(const char *text, unsigned char *buf, size_t size);

#endif
