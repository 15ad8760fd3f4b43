#include "cmd/volume_json.h"

#include "base/text.h"
#include "lib/volume/state.h"
#include "lib/serve/export.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct json_object *luks_json(const struct record *r)
{
	struct json_object *o = json_object_new_object();
	put_number(o, "version", r->luks_version);
	put_uuid(o, "uuid", r->luks_uuid);
	put_text(o, "cipher", r->cipher);
	put_number(o, "key_bits", r->key_bits);
	put_number(o, "sector_size", r->sector_size);
	put_text(o, "integrity", r->integrity);
	put_text(o, "header_path", r->header_path);
	return o;
}

static struct json_object *domains_json(const struct record *r)
{
	struct json_object *a = json_object_new_array();
	for (size_t i = 0; i < r->n_domains; i++) {
		struct json_object *d = json_object_new_object();
		put_text(d, "name", r->domains[i].name);
		put_uuid(d, "uuid", r->domains[i].uuid);
		put_text(d, "target", r->domains[i].target);
		json_object_array_add(a, d);
	}
	return a;
}

uint64_t volume_key_age(const struct record *r)
{
	int64_t now = (int64_t)time(NULL);
	return now > r->rotated ? (uint64_t)(now - r->rotated) : 0;
}

struct json_object *volume_json(const struct record *r)
{
	struct json_object *o = json_object_new_object();
	put_uuid(o, "uuid", r->uuid);
	put_text(o, "path", r->path);
	put_text(o, "format", record_format_name(r->format));
	put_number(o, "size", r->size);
	json_object_object_add(o, "luks", luks_json(r));
	put_number(o, "generation", r->generation);
	put_time(o, "created", r->created);
	put_time(o, "rotated", r->rotated);
	put_number(o, "key_age", volume_key_age(r));
	put_time(o, "last_used", r->last_used);
	put_text(o, "state", volume_shown_state(r));
	put_text(o, "mapping", NULL);
	put_text(o, "mapped", NULL);
	json_object_object_add(o, "domains", domains_json(r));
	return o;
}

struct json_object *volume_json_mapping(struct json_object *o, const struct volume_mapping *m)
{
	if (!m->name[0])
		return o;
	struct json_object *d = json_object_new_object();
	put_text(o, "mapping", m->name);
	put_number(d, "size", m->status.size);
	put_number(d, "sector_size", m->status.sector_size);
	put_bool(d, "readonly", m->status.flags & MAPPING_READONLY);
	put_bool(d, "discard", m->status.flags & MAPPING_DISCARD);
	put_bool(d, "no_read_workqueue", m->status.flags & MAPPING_NO_READ_WORKQUEUE);
	put_bool(d, "no_write_workqueue", m->status.flags & MAPPING_NO_WRITE_WORKQUEUE);
	put_bool(d, "key_in_keyring", m->status.flags & MAPPING_KEYRING);
	put_number(d, "open_count", m->open_count);
	put_text(d, "users", m->users[0] ? m->users : NULL);
	put_bool(d, "closing", m->deferred);
	json_object_object_add(o, "mapped", d);
	return o;
}

struct json_object *volume_json_export(struct json_object *o, struct keystore *ks, const struct record *r)
{
	AUTOFREE char *target = NULL;
	enum export_type type;
	bool writable;
	if (volume_exported(ks, r, &type, &target, &writable, NULL) < 0 || !target) {
		json_object_object_add(o, "export", NULL);
		return o;
	}
	struct json_object *x = json_object_new_object();
	put_text(x, "type", type == EXPORT_FUSE ? "fuse" : "nbd");
	put_text(x, "target", target);
	put_bool(x, "writable", writable);
	json_object_object_add(o, "export", x);
	return o;
}

/* "kvmcrypt" is known only with the record revealed; an unknown owner is null. */
static const char *slot_owner(const struct record *r, const struct volume_state *s, int slot)
{
	if (slot == s->our_slot)
		return "kvmcrypt";
	if (r->recovery_slots & 1u << slot)
		return "recovery";
	return s->our_slot < 0 ? NULL : "other";
}

struct json_object *volume_json_keyslots(const struct record *r, const struct volume_state *s)
{
	struct json_object *a = json_object_new_array();
	for (int i = 0; i < s->info.n_keyslots; i++) {
		const struct luks_keyslot *k = &s->info.keyslots[i];
		struct json_object *o = json_object_new_object();
		put_number(o, "slot", (uint64_t)k->slot);
		put_text(o, "state", !k->active ? "empty" : k->unbound ? "unbound" : "active");
		put_text(o, "owner", k->active ? slot_owner(r, s, k->slot) : NULL);
		put_text(o, "kdf", k->active ? k->kdf : NULL);
		if (k->active)
			put_number(o, "iterations", k->iterations);
		else
			put_text(o, "iterations", NULL);
		json_object_array_add(a, o);
	}
	return a;
}

/* "0 (kvmcrypt), 1 (other)" */
static void add_keyslots(struct json_object *luks, const struct record *r, const struct volume_state *s)
{
	char text[512] = "";
	for (int i = 0; i < s->info.n_keyslots; i++) {
		const struct luks_keyslot *k = &s->info.keyslots[i];
		size_t used = strlen(text);
		const char *owner = slot_owner(r, s, k->slot);
		if (k->active)
			snprintf(text + used, sizeof(text) - used, "%s%d%s%s%s", used ? ", " : "", k->slot,
				 owner ? " (" : "", owner ? owner : "", owner ? ")" : "");
	}
	json_object_object_add(luks, "keyslots", volume_json_keyslots(r, s));
	put_text(luks, "keyslots_text", text);
}

struct json_object *volume_json_full(const struct record *r, const struct volume_state *s)
{
	struct json_object *o = volume_json(r), *luks = NULL;
	/* An unfinished workflow says more than the state of the file that it is working on. */
	if (r->state == RECORD_READY && s->condition != VOLUME_OK)
		put_text(o, "state", s->condition == VOLUME_MISSING ? "missing" : "damaged");
	put_text(o, "problem", s->problem[0] ? s->problem : NULL);
	put_text(o, "backing_file", s->backing[0] ? s->backing : NULL);
	json_object_object_get_ex(o, "luks", &luks);
	if (s->have_info) {
		add_keyslots(luks, r, s);
	} else {
		put_text(luks, "keyslots", NULL);
		put_text(luks, "keyslots_text", NULL);
	}
	put_bool(o, "in_use", s->in_use);
	return o;
}

const struct column volume_list_columns[] = {
	{ "path", "PATH", SHOW_PLAIN },	    { "format", "FORMAT", SHOW_PLAIN },
	{ "size", "SIZE", SHOW_SIZE },	    { "state", "STATE", SHOW_PLAIN },
	{ "mapping", "MAPPING", SHOW_PLAIN },
	{ "key_age", "KEY AGE", SHOW_AGE }, { "domains", "DOMAINS", SHOW_NAMES },
	{ "uuid", "UUID", SHOW_PLAIN },	    { NULL, NULL, SHOW_PLAIN },
};

const struct column volume_show_columns[] = {
	{ "path", "Path", SHOW_PLAIN },
	{ "uuid", "UUID", SHOW_PLAIN },
	{ "state", "State", SHOW_PLAIN },
	{ "format", "Format", SHOW_PLAIN },
	{ "size", "Size", SHOW_SIZE },
	{ "backing_file", "Backing file", SHOW_PLAIN },
	{ "luks.version", "LUKS version", SHOW_PLAIN },
	{ "luks.uuid", "LUKS UUID", SHOW_PLAIN },
	{ "luks.cipher", "Cipher", SHOW_PLAIN },
	{ "luks.key_bits", "Key bits", SHOW_PLAIN },
	{ "luks.sector_size", "Sector size", SHOW_PLAIN },
	{ "luks.integrity", "Integrity", SHOW_PLAIN },
	{ "luks.header_path", "Header", SHOW_PLAIN },
	{ "luks.keyslots_text", "Keyslots", SHOW_PLAIN },
	{ "generation", "Generation", SHOW_PLAIN },
	{ "created", "Created", SHOW_PLAIN },
	{ "rotated", "Key since", SHOW_PLAIN },
	{ "key_age", "Key age", SHOW_AGE },
	{ "last_used", "Last used", SHOW_PLAIN },
	{ "mapping", "Mapping", SHOW_PLAIN },
	{ "mapped.users", "Used by", SHOW_PLAIN },
	{ "export.target", "Exported at", SHOW_PLAIN },
	{ "domains", "Domains", SHOW_NAMES },
	{ "secret.uuid", "Secret", SHOW_PLAIN },
	{ "secret.registered", "Registered", SHOW_PLAIN },
	{ "problem", "Problem", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};
