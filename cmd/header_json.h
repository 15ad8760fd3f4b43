/* A LUKS header as `header show` and `header restore` tell of it. */
#ifndef CMD_HEADER_JSON_H
#define CMD_HEADER_JSON_H

#include "cmd/output.h"
#include "lib/volume/header.h"

/* r is revealed; nothing of its keys is shown, only that they are there. */
struct json_object *header_json(const struct record *r, const struct header_state *found);
extern const struct column header_columns[];

#endif
