/* JSON of attach and detach. */
#ifndef CMD_ATTACH_OUTPUT_H
#define CMD_ATTACH_OUTPUT_H

#include "cmd/command.h"
#include "lib/serve/attach.h"

#include <json-c/json.h>

/* One line about a running guest whose memory, key included, a crash would leave in a core dump; or none. */
void attached_core(struct context *ctx, const char *domain, const struct guest_core *core);

/*
 * Adds to `array` what of a guest's keys lies on this host's disks, {"domain", "what", "path"} each, with a line that
 * says what to do. False: it cannot be read.
 */
bool attached_exposed(struct context *ctx, const char *domain, struct json_object *array);
struct json_object *attached_json(const struct record *r, const struct volume_attached *a);

/* The "secret" object of a volume; registered -1: not known. */
void volume_json_secret(struct json_object *o, const struct record *r, int registered);

#endif
