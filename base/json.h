/* JSON objects that are released when their scope ends, and how they are read. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/cleanup.h"

#include <json-c/json.h>
#include <limits.h>

static inline void json_freep(struct json_object **o)
{
	json_object_put(*o);
}
#define AUTOJSON CLEANUP(json_freep)

/* A whole document of at most depth levels (json-c itself stops at 32). The caller releases; NULL: it is none. */
static inline struct json_object *json_parse(const char *text, size_t len, int depth)
{
	struct json_tokener *t = json_tokener_new_ex(depth);
	if (!t)
		return NULL;
	struct json_object *o = len <= INT_MAX ? json_tokener_parse_ex(t, text, (int)len) : NULL;
	if (o && json_tokener_get_error(t) != json_tokener_success) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(t);
	return o;
}

#endif
