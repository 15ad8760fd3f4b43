/* JSON of attach and detach. */
#ifndef CMD_ATTACH_OUTPUT_H
#define CMD_ATTACH_OUTPUT_H

#include "lib/serve/attach.h"

#include <json-c/json.h>

struct json_object *attached_json(const struct record *r, const struct volume_attached *a);

/* The "secret" object of a volume; registered -1: not known. */
void volume_json_secret(struct json_object *o, const struct record *r, int registered);

#endif
