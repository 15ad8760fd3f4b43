/* A volume as design.md's JSON says it, from the record and what the image and libvirt tell. */
#ifndef CMD_VOLUME_JSON_H
#define CMD_VOLUME_JSON_H

#include "cmd/output.h"
#include "keystore/record/record.h"
#include "lib/volume/mapped.h"
#include "lib/volume/volume.h"

struct json_object *volume_json(const struct record *r);

/* Puts in what device-mapper says: "mapping" and "mapped". Returns o. */
struct json_object *volume_json_mapping(struct json_object *o, const struct volume_mapping *m);

/* With what the image itself says: keyslots, backing file, condition. */
struct json_object *volume_json_full(const struct record *r, const struct volume_state *s);

/* The array of its keyslots alone. */
struct json_object *volume_json_keyslots(const struct record *r, const struct volume_state *s);

/* Seconds since its passphrase was made. */
uint64_t volume_key_age(const struct record *r);

/* With how it is exported: "export" {type, target, writable}, or null. */
struct json_object *volume_json_export(struct json_object *o, struct keystore *ks, const struct record *r);

/* Columns of `list` and lines of `show`. */
extern const struct column volume_list_columns[];
extern const struct column volume_show_columns[];

#endif
