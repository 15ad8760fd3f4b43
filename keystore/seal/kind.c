/* The table of kinds, and what everybody may ask of it. */
#include "keystore/seal/kind.h"

#include <string.h>

#define SLOT_ENTRY(number, kind) [number] = &kind,
static const struct slot_kind *const kinds[SLOT_TYPES] = { SLOT_KINDS(SLOT_ENTRY) };
#undef SLOT_ENTRY

const struct slot_kind *slot_kind(enum slot_type t)
{
	return (unsigned)t < SLOT_TYPES ? kinds[t] : NULL;
}

const char *slot_type_name(enum slot_type t)
{
	const struct slot_kind *k = slot_kind(t);
	return k ? k->name : "other";
}

enum slot_type slot_type_of(const char *name)
{
	for (size_t i = 0; name && i < SLOT_TYPES; i++)
		if (kinds[i] && !strcmp(kinds[i]->name, name))
			return (enum slot_type)i;
	return SLOT_OTHER;
}

bool slot_is_device(enum slot_type t)
{
	const struct slot_kind *k = slot_kind(t);
	return k && k->device;
}

bool slot_works_alone(const struct slot *s, unsigned *ret_turn)
{
	const struct slot_kind *k = slot_kind(s->type);
	if (!k || !k->turn || s->params.with_pin || (k->by_path && !s->path))
		return false;
	if (ret_turn)
		*ret_turn = k->turn;
	return true;
}

int slot_check(enum slot_type t, const char *path, const struct slot_params *p, struct error *e)
{
	const struct slot_kind *k = slot_kind(t);
	if (k && k->device && !p)
		return error_set(e, ERROR_USAGE, EINVAL, "a slot of type '%s' needs its device or servers", k->name);
	return k && k->check ? k->check(path, p, e) : 0;
}

void slots_free(struct slot *slots, size_t n)
{
	for (size_t i = 0; slots && i < n; i++) {
		free(slots[i].label);
		free(slots[i].path);
		slot_params_clear(&slots[i].params);
	}
	free(slots);
}

bool slot_word_fits(const char *text)
{
	for (; text && *text; text++)
		if ((unsigned char)*text <= 0x20 || (unsigned char)*text == 0x7f || strchr("\"'`\\$", *text))
			return false;
	return true;
}
