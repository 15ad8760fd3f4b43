#include "lib/image/luks/luks2_json.h"

#include "base/json.h"

#include <errno.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#define JSON_DEPTH 16

json *luks2_get(json *o, const char *key, json_type type)
{
	json *v = NULL;
	if (!o || !json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v))
		return NULL;
	return json_object_is_type(v, type) ? v : NULL;
}

const char *luks2_text(json *o, const char *key)
{
	json *v = luks2_get(o, key, json_type_string);
	return v ? json_object_get_string(v) : "";
}

bool luks2_number(json *o, const char *key, uint64_t *ret)
{
	json *v = luks2_get(o, key, json_type_int);
	if (v) {
		if (json_object_get_int64(v) < 0)
			return false;
		*ret = (uint64_t)json_object_get_int64(v);
		return true;
	}
	const char *text = luks2_text(o, key);
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && !*end;
}

json *luks2_parse(const char *text, size_t len)
{
	json *o = json_parse(text, len, JSON_DEPTH);
	if (o && !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		o = NULL;
	}
	return o;
}

int luks2_decode(const char *text, unsigned char *buf, size_t size)
{
	unsigned char raw[192];
	struct base64_decode_ctx ctx;
	size_t len = strlen(text), n = 0;
	if (!len || BASE64_DECODE_LENGTH(len) > sizeof(raw))
		return -1;
	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &n, raw, len, text) || !base64_decode_final(&ctx) || n > size)
		return -1;
	memcpy(buf, raw, n);
	return (int)n;
}
