#include "cmd/keystore_json.h"

#include <errno.h>
#include <stdio.h>

static const struct column status_columns[] = {
	{ "path", "Keystore", SHOW_PLAIN },
	{ "backend", "Backend", SHOW_PLAIN },
	{ "sealed", "Sealed", SHOW_PLAIN },
	{ "sealed_in", "Sealed in", SHOW_AGE },
	{ "root_key_id", "Root key", SHOW_PLAIN },
	{ "volumes", "Volumes", SHOW_PLAIN },
	{ "schema_version", "Schema version", SHOW_PLAIN },
	{ "audit_head", "Audit head", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

static const struct column slot_columns[] = {
	{ "slot", "SLOT", SHOW_PLAIN },	      { "type", "TYPE", SHOW_PLAIN },
	{ "created", "CREATED", SHOW_PLAIN }, { "label", "LABEL", SHOW_PLAIN },
	{ "source", "SOURCE", SHOW_PLAIN },   { NULL, NULL, SHOW_PLAIN },
};

static const struct column one_slot_columns[] = {
	{ "slot", "Slot", SHOW_PLAIN },
	{ "type", "Type", SHOW_PLAIN },
	{ "label", "Label", SHOW_PLAIN },
	{ "source", "Source", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

struct json_object *keystore_slot_json(const struct slot *s)
{
	const struct slot_params *p = &s->params;
	/* In text there is room for one of them. */
	const char *source = s->path ? s->path : p->device ? p->device : p->servers;
	struct json_object *o = json_object_new_object();
	put_number(o, "slot", (uint64_t)s->slot);
	put_text(o, "type", slot_type_name(s->type));
	put_text(o, "label", s->label);
	put_time(o, "created", s->created);
	put_text(o, "path", s->path);
	put_text(o, "source", source);
	put_text(o, "device", p->device);
	put_text(o, "pcrs", s->type == SLOT_TPM2 && !p->pcrs && !p->pcrlock ? "7" : p->pcrs);
	put_text(o, "public_key", p->public_key);
	put_text(o, "pcrlock", p->pcrlock);
	put_text(o, "servers", p->servers);
	put_text(o, "thumbprints", p->thumbprints);
	json_object_object_add(o, "threshold", p->threshold ? json_object_new_int((int)p->threshold) : NULL);
	put_bool(o, "pin", p->with_pin);
	return o;
}

int keystore_output_slot(struct context *ctx, const struct slot *s)
{
	return output_object(ctx, keystore_slot_json(s), one_slot_columns);
}

static struct json_object *status_json(struct keystore *ks, const struct keystore_status *st)
{
	char head[96];
	struct json_object *o = json_object_new_object();
	snprintf(head, sizeof(head), "%llu:%s", (unsigned long long)st->audit_seq, st->audit_head);
	put_text(o, "path", keystore_path(ks));
	put_text(o, "backend", "sqlite");
	put_bool(o, "sealed", !st->cached);
	json_object_object_add(o, "sealed_in", st->cached_for ? json_object_new_int64((int64_t)st->cached_for) : NULL);
	put_text(o, "root_key_id", st->root_key_id);
	put_number(o, "volumes", st->volumes);
	put_number(o, "schema_version", st->schema_version);
	put_text(o, "audit_head", head);
	return o;
}

static int print_slots(struct context *ctx, const struct slot *slots, size_t n, struct error *e)
{
	struct output_list *list = NULL;
	if (!ctx->quiet)
		printf("\n");
	int r = output_list_begin(ctx, "slots", slot_columns, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = output_list_add(list, keystore_slot_json(&slots[i]));
	return output_list_end(list, r, NULL, e);
}

int keystore_output(struct context *ctx, struct keystore *ks, struct error *e)
{
	struct keystore_status st;
	struct slot *slots = NULL;
	size_t n = 0;
	int r = keystore_status(ks, &st, e);
	if (r < 0 || (r = keystore_slots(ks, &slots, &n, e)) < 0)
		return r;
	struct json_object *o = status_json(ks, &st), *array = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, keystore_slot_json(&slots[i]));
	json_object_object_add(o, "slots", array);
	r = output_object(ctx, o, status_columns);
	if (r == 0 && !ctx->json)
		r = print_slots(ctx, slots, n, e);
	slots_free(slots, n);
	return r;
}

int keystore_slot_find(struct keystore *ks, int slot, struct slot **ret_all, size_t *ret_n,
		       const struct slot **ret, struct error *e)
{
	struct slot *slots = NULL;
	size_t n = 0;
	int r = keystore_slots(ks, &slots, &n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (slots[i].slot == slot) {
			*ret = &slots[i];
			*ret_all = slots;
			*ret_n = n;
			return 0;
		}
	slots_free(slots, n);
	return error_set(e, ERROR_NOT_FOUND, ENOENT, "the seal has no slot %d", slot);
}
