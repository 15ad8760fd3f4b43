/* JSON objects that are released when their scope ends. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/cleanup.h"

#include <json-c/json.h>

static inline void json_freep(struct json_object **o)
{
	json_object_put(*o);
}
#define AUTOJSON CLEANUP(json_freep)

#endif
