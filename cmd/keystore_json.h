/* A keystore as JSON and text: init, keystore status and the slot commands show the same. */
#ifndef CMD_KEYSTORE_JSON_H
#define CMD_KEYSTORE_JSON_H

#include "cmd/output.h"
#include "keystore/keystore.h"

struct json_object *keystore_slot_json(const struct slot *s);

/* One slot as the document: what add-slot made, remove-slot removed. */
int keystore_output_slot(struct context *ctx, const struct slot *s);

/* The keystore with its slots. */
int keystore_output(struct context *ctx, struct keystore *ks, struct error *e);

/* The slot of this number; ERROR_NOT_FOUND. Free with slots_free(*ret_all, n). */
int keystore_slot_find(struct keystore *ks, int slot, struct slot **ret_all, size_t *ret_n,
		       const struct slot **ret, struct error *e);

#endif
