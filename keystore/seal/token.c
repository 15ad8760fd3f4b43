#include "keystore/seal/token.h"

#include "keystore/seal/kind.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TYPE "kvmcrypt"
#define LABEL_MAX 128
#define PATH_MAX_HERE 1024 /* all tokens share 12 KiB of JSON */

/* The texts of struct slot_params and their names in the token. */
static const struct {
	const char *name;
	size_t offset;
} params[] = {
#define PARAM(field) { #field, offsetof(struct slot_params, field) }
	PARAM(device), PARAM(pcrs), PARAM(public_key), PARAM(public_key_pcrs),
	PARAM(signature), PARAM(pcrlock), PARAM(servers), PARAM(thumbprints),
};

static char **param_of(const struct slot_params *p, size_t i)
{
	return (char **)((char *)p + params[i].offset);
}

void slot_params_clear(struct slot_params *p)
{
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		free(*param_of(p, i));
	*p = (struct slot_params){ 0 };
}

int slot_params_copy(const struct slot_params *p, struct slot_params *ret, struct error *e)
{
	struct slot_params copy = { .threshold = p->threshold, .with_pin = p->with_pin };
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (*param_of(p, i) && !(*param_of(&copy, i) = strdup(*param_of(p, i)))) {
			slot_params_clear(&copy);
			return error_oom(e);
		}
	*ret = copy;
	return 0;
}

/* 64-bit numbers are strings in LUKS2's JSON, and so is the time here. */
static void add_string(json_object *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

static int add_params(json_object *o, const struct slot_params *p, struct error *e)
{
	char threshold[16];
	if (!p)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		const char *text = *param_of(p, i);
		if (text && strlen(text) > PATH_MAX_HERE)
			return error_set(e, ERROR_USAGE, ENAMETOOLONG, "the %s of a slot is too long", params[i].name);
		add_string(o, params[i].name, text);
	}
	if (p->threshold) {
		snprintf(threshold, sizeof(threshold), "%u", p->threshold);
		add_string(o, "threshold", threshold);
	}
	add_string(o, "pin", p->with_pin ? "yes" : NULL);
	return 0;
}

int seal_token_write(struct crypt_device *cd, int slot, const struct credential *c, struct error *e)
{
	char number[16], created[32];
	int r;
	if ((c->label && strlen(c->label) > LABEL_MAX) || (c->path && strlen(c->path) > PATH_MAX_HERE))
		return error_set(e, ERROR_USAGE, ENAMETOOLONG, "the label or path of a slot is too long");
	AUTOJSON json_object *o = json_object_new_object();
	json_object *slots = json_object_new_array();
	if (!o || !slots)
		return error_oom(e);
	snprintf(number, sizeof(number), "%d", slot);
	snprintf(created, sizeof(created), "%lld", (long long)time(NULL));
	add_string(o, "type", TYPE);
	json_object_array_add(slots, json_object_new_string(number));
	json_object_object_add(o, "keyslots", slots);
	add_string(o, "slot_type", slot_type_name(c->type));
	add_string(o, "label", c->label);
	add_string(o, "path", c->path);
	add_string(o, "created", created);
	if ((r = add_params(o, c->params, e)) < 0)
		return r;
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return error_oom(e);
	r = crypt_token_json_set(cd, CRYPT_ANY_TOKEN, text);
	if (r < 0)
		return error_errno(e, ERROR_FAILED, -r, "cannot describe the new slot in the seal");
	return 0;
}

static const char *get_string(json_object *o, const char *key)
{
	json_object *v = NULL;
	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static bool names_slot(json_object *o, int slot)
{
	json_object *slots = NULL;
	char number[16];
	snprintf(number, sizeof(number), "%d", slot);
	if (!json_object_object_get_ex(o, "keyslots", &slots) ||
	    !json_object_is_type(slots, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(slots); i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(slots, i));
		if (s && !strcmp(s, number))
			return true;
	}
	return false;
}

/* Token number `token`, if it is of this type (NULL: any) and names the slot; the caller frees. */
static json_object *token_for(struct crypt_device *cd, int token, const char *want, int slot)
{
	const char *text = NULL;
	if (crypt_token_json_get(cd, token, &text) < 0 || !text)
		return NULL;
	json_object *o = json_tokener_parse(text);
	const char *type = o ? get_string(o, "type") : NULL;
	if (type && (!want || !strcmp(type, want)) && names_slot(o, slot))
		return o;
	json_object_put(o);
	return NULL;
}

static int copy_string(json_object *o, const char *key, char **ret)
{
	const char *s = get_string(o, key);
	if (!s)
		return 0;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int read_params(json_object *o, struct slot_params *ret)
{
	const char *threshold = get_string(o, "threshold");
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (copy_string(o, params[i].name, param_of(ret, i)) < 0)
			return -ENOMEM;
	ret->threshold = threshold ? (unsigned)strtoul(threshold, NULL, 10) : 0;
	ret->with_pin = get_string(o, "pin") != NULL;
	return 0;
}

int seal_token_read(struct crypt_device *cd, int slot, struct slot *ret, struct error *e)
{
	struct slot s = { .slot = slot, .type = SLOT_OTHER };
	for (int i = 0; i < SEAL_TOKENS_MAX; i++) {
		AUTOJSON json_object *o = token_for(cd, i, TYPE, slot);
		if (!o)
			continue;
		const char *created = get_string(o, "created");
		s.type = slot_type_of(get_string(o, "slot_type"));
		s.created = created ? strtoll(created, NULL, 10) : 0;
		if (copy_string(o, "label", &s.label) < 0 || copy_string(o, "path", &s.path) < 0 ||
		    read_params(o, &s.params) < 0) {
			free(s.label);
			free(s.path);
			slot_params_clear(&s.params);
			return error_oom(e);
		}
		break;
	}
	*ret = s;
	return 0;
}

int seal_token_remove(struct crypt_device *cd, int slot)
{
	for (int i = 0; i < SEAL_TOKENS_MAX; i++) {
		AUTOJSON json_object *o = token_for(cd, i, NULL, slot);
		if (!o)
			continue;
		int r = crypt_token_json_set(cd, i, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

int seal_token_find(struct crypt_device *cd, const char *type, int slot)
{
	for (int i = 0; i < SEAL_TOKENS_MAX; i++) {
		AUTOJSON json_object *o = token_for(cd, i, type, slot);
		if (o)
			return i;
	}
	return -ENOENT;
}

char *seal_token_text(struct crypt_device *cd, const char *type, int slot, const char *name)
{
	int i = seal_token_find(cd, type, slot);
	AUTOJSON json_object *o = i < 0 ? NULL : token_for(cd, i, type, slot);
	const char *text = o ? get_string(o, name) : NULL;
	return text ? strdup(text) : NULL;
}
