#include "cmd/boot_output.h"

#include "base/cleanup.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/guest/secrets_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct column columns[] = {
	{ "name", "UNIT", SHOW_PLAIN },	  { "enabled", "ENABLED", SHOW_PLAIN }, { "state", "STATE", SHOW_PLAIN },
	{ "does", "DOES", SHOW_PLAIN },	  { NULL, NULL, SHOW_PLAIN },
};

/* One finding: a line for a person, and part of the document. */
static void find(struct context *ctx, struct json_object *findings, const char *text)
{
	say(ctx, "%s", text);
	json_object_array_add(findings, json_object_new_string(text));
}

/* Does a slot open without a person? */
static bool opens_alone(const struct slot *s)
{
	return !s->params.with_pin && (s->type == SLOT_KEY_FILE || s->type == SLOT_TPM2 || s->type == SLOT_TANG);
}

static bool has_tang(const struct slot *slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slots[i].type == SLOT_TANG)
			return true;
	return false;
}

bool boot_needs_network(struct context *ctx)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error why = { 0 };
	struct slot *slots = NULL;
	size_t n = 0;
	if (person_open_keystore(ctx, &ks, &why) < 0 || keystore_slots(ks, &slots, &n, &why) < 0)
		return false;
	bool needs = has_tang(slots, n);
	keystore_slots_free(slots, n);
	return needs;
}

static void judge_keystore(struct context *ctx, const struct boot_unit *units, struct json_object *findings,
			   struct json_object *ways)
{
	bool network = true;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error why = { 0 };
	struct slot *slots = NULL;
	size_t n = 0;
	if (person_open_keystore(ctx, &ks, &why) < 0 || keystore_slots(ks, &slots, &n, &why) < 0) {
		find(ctx, findings, why.message);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (opens_alone(&slots[i]))
			json_object_array_add(ways, json_object_new_string(slot_type_name(slots[i].type)));
	if (has_tang(slots, n) && (units[0].enabled || units[1].enabled) && boot_network_read(NULL, units, &network, &why) < 0)
		find(ctx, findings, why.message);
	if (!network)
		find(ctx, findings,
		     "Tang servers may not be reached yet, since the units do not wait for the network: `kvmcrypt boot enable`");
	keystore_slots_free(slots, n);
	if (!json_object_array_length(ways))
		find(ctx, findings,
		     "no slot opens the keystore without a person, so guests would wait: `kvmcrypt keystore add-slot` with --key-file, --tpm2 or --tang");
}

static void judge_units(struct context *ctx, const struct boot_unit *units, struct json_object *findings)
{
	bool reload = units[1].enabled;
	if (!units[0].enabled && !reload)
		find(ctx, findings, "keys are not loaded when the host starts: `kvmcrypt boot enable`");
	else if (!units[0].enabled || !units[2].enabled)
		find(ctx, findings,
		     "libvirt starts guests before it has the keys: `kvmcrypt boot enable` without --no-ram, or `kvmcrypt load --start` after each start");
	for (size_t i = 0; i < BOOT_UNITS; i++)
		if (!strcmp(units[i].state, "failed")) {
			char line[256];
			snprintf(line, sizeof(line), "%s has failed: `journalctl -b -u %s` says why", units[i].name, units[i].name);
			find(ctx, findings, line);
		}
}

int boot_output(struct context *ctx, const char *root, int changed, bool judge, struct error *e)
{
	struct boot_unit units[BOOT_UNITS];
	struct output_list *list = NULL;
	int r = boot_units_read(root, units, e);
	if (r == 0)
		r = output_list_begin(ctx, "units", columns, &list, e);
	for (size_t i = 0; r == 0 && i < BOOT_UNITS; i++) {
		struct json_object *row = json_object_new_object();
		put_text(row, "name", units[i].name);
		put_text(row, "path", units[i].path[0] ? units[i].path : NULL);
		put_bool(row, "enabled", units[i].enabled);
		put_text(row, "state", units[i].state[0] ? units[i].state : NULL);
		put_text(row, "does", units[i].does);
		r = output_list_add(list, row, e);
	}
	if (!list)
		return r;
	struct json_object *extra = json_object_new_object(), *findings = json_object_new_array(), *ways = json_object_new_array();
	bool whole = !(root && *root);
	if (changed >= 0)
		put_bool(extra, "changed", changed);
	json_object_object_add(extra, "in_memory", whole ? json_object_new_boolean(secrets_dir_is_mounted(SECRETS_DIR_DEFAULT)) : NULL);
	if (judge) {
		judge_units(ctx, units, findings);
		/* The keystore of a host that does not run may be where this one cannot know. */
		if (whole)
			judge_keystore(ctx, units, findings, ways);
		if (r == 0 && json_object_array_length(findings))
			r = error_set(e, ERROR_FAILED, EAGAIN, "encrypted guests would not start by themselves (%zu finding%s)",
				      json_object_array_length(findings), json_object_array_length(findings) == 1 ? "" : "s");
		json_object_object_add(extra, "unseals_with", ways);
		json_object_object_add(extra, "findings", findings);
	} else {
		json_object_put(findings);
		json_object_put(ways);
	}
	return output_list_end(list, r, extra, e);
}
