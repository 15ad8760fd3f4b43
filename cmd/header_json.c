#include "cmd/header_json.h"

static struct json_object *found_json(const struct header_state *s)
{
	struct json_object *o = json_object_new_object();
	uint64_t active = 0;
	put_text(o, "condition", header_condition_name(s->condition));
	put_text(o, "problem", s->problem[0] ? s->problem : NULL);
	if (!s->have_info)
		return o;
	for (int i = 0; i < s->info.n_keyslots; i++)
		active += s->info.keyslots[i].active;
	put_number(o, "luks_version", (uint64_t)s->info.version);
	put_uuid(o, "luks_uuid", s->info.uuid);
	put_text(o, "cipher", s->info.cipher);
	put_number(o, "active_keyslots", active);
	return o;
}

static struct json_object *known_json(const struct record *r)
{
	struct json_object *o = json_object_new_object();
	put_bool(o, "volume_key", r->volume_key != NULL);
	put_bool(o, "restorable", r->volume_key && r->geometry.header_length && !r->integrity);
	put_number(o, "luks_version", r->luks_version);
	put_uuid(o, "luks_uuid", r->luks_uuid);
	put_text(o, "cipher", r->cipher);
	put_number(o, "key_bits", r->key_bits);
	put_number(o, "sector_size", r->sector_size);
	put_number(o, "header_offset", r->geometry.header_offset);
	put_number(o, "header_length", r->geometry.header_length);
	put_number(o, "data_offset", r->geometry.data_offset);
	return o;
}

struct json_object *header_json(const struct record *r, const struct header_state *found)
{
	struct json_object *o = json_object_new_object();
	put_uuid(o, "uuid", r->uuid);
	put_text(o, "path", r->path);
	put_text(o, "header_path", r->header_path);
	json_object_object_add(o, "found", found_json(found));
	json_object_object_add(o, "keystore", known_json(r));
	return o;
}

const struct column header_columns[] = {
	{ "path", "Path", SHOW_PLAIN },
	{ "header_path", "Header", SHOW_PLAIN },
	{ "found.condition", "Found", SHOW_PLAIN },
	{ "found.problem", "Problem", SHOW_PLAIN },
	{ "found.luks_version", "  LUKS version", SHOW_PLAIN },
	{ "found.luks_uuid", "  LUKS UUID", SHOW_PLAIN },
	{ "found.cipher", "  Cipher", SHOW_PLAIN },
	{ "found.active_keyslots", "  Keyslots", SHOW_PLAIN },
	{ "keystore.restorable", "Restorable", SHOW_PLAIN },
	{ "keystore.luks_version", "  LUKS version", SHOW_PLAIN },
	{ "keystore.luks_uuid", "  LUKS UUID", SHOW_PLAIN },
	{ "keystore.cipher", "  Cipher", SHOW_PLAIN },
	{ "keystore.header_offset", "  Header offset", SHOW_PLAIN },
	{ "keystore.header_length", "  Header length", SHOW_PLAIN },
	{ "keystore.data_offset", "  Data offset", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};
