#include "cmd/boot_output.h"

#include "base/cleanup.h"
#include "cmd/attach_output.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/boot/credential.h"
#include "lib/guest/coredump.h"
#include "lib/guest/domains_dir.h"
#include "lib/guest/secrets_dir.h"
#include "lib/serve/forecast.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct column columns[] = {
	{ "name", "UNIT", SHOW_PLAIN },	  { "enabled", "ENABLED", SHOW_PLAIN }, { "state", "STATE", SHOW_PLAIN },
	{ "does", "DOES", SHOW_PLAIN },	  { NULL, NULL, SHOW_PLAIN },
};

#define CONFIGURATIONS "/etc/libvirt/qemu"
#define RUNNING "/run/libvirt/qemu"

struct judged {
	struct context *ctx;
	struct json_object *findings, *ways, *guests, *dumps, *exposed;
	char broken[16][1024];	/* ways to unseal that do not work now */
	size_t n_broken;
	bool keys;		/* guests have their keys when they start */
};

/* One finding: a line for a person, and part of the document. */
__attribute__((format(printf, 2, 3))) static void find(struct judged *j, const char *fmt, ...)
{
	char text[1400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(j->ctx, "%s", text);
	json_object_array_add(j->findings, json_object_new_string(text));
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
	slots_free(slots, n);
	return needs;
}

static void judge_network(struct judged *j, struct keystore *ks, const struct boot_unit *units)
{
	struct slot *slots = NULL;
	struct error why = { 0 };
	size_t n = 0;
	bool network = true;
	if (keystore_slots(ks, &slots, &n, &why) < 0 || (has_tang(slots, n) && (units[0].enabled || units[1].enabled) &&
							 boot_network_read(NULL, units, &network, &why) < 0))
		find(j, "%s", why.message);
	slots_free(slots, n);
	if (!network)
		find(j, "Tang servers may not be reached yet, since the units do not wait for the network: `kvmcrypt "
			"boot enable`");
}

static int add_way(void *ctx, const struct forecast_way *way)
{
	struct judged *j = ctx;
	char slot[32] = "";
	if (way->slot >= 0)
		snprintf(slot, sizeof(slot), " (slot %d)", way->slot);
	if (!way->error.kind)
		json_object_array_add(j->ways, json_object_new_string(way->name));
	else
		/* Whether it matters is known when all were tried. */
		snprintf(j->broken[j->n_broken++ % ARRAY_LEN(j->broken)], sizeof(j->broken[0]), "%s%s: %.900s",
			 way->name, slot, way->error.message);
	return 0;
}

static void judge_ways(struct judged *j, struct keystore *ks)
{
	struct error why = { 0 };
	if (forecast_ways(ks, add_way, j, &why) < 0)
		find(j, "%s", why.message);
	bool any = json_object_array_length(j->ways) > 0;
	for (size_t i = 0; i < j->n_broken && i < ARRAY_LEN(j->broken); i++) {
		if (any)
			say(j->ctx, "note: this way to unseal does not work now, but another does: %s", j->broken[i]);
		else
			find(j, "the keystore is not unsealed by %s", j->broken[i]);
	}
	if (!any && !j->n_broken)
		find(j, "no slot opens the keystore without a person, so guests would wait: `kvmcrypt keystore "
			"add-slot` with --key-file, --tpm2 or --tang");
}

static int add_guest(void *ctx, const struct forecast_guest *guest)
{
	struct judged *j = ctx;
	struct json_object *o = json_object_new_object();
	const char *reason = guest->error.kind ? guest->error.message : j->keys ? NULL : "its key is not there then";
	put_text(o, "name", guest->domain);
	put_bool(o, "starts", !reason);
	put_text(o, "reason", reason);
	json_object_array_add(j->guests, o);
	if (guest->error.kind)
		find(j, "guest %s would wait: %s", guest->domain, reason);
	else
		say(j->ctx, reason ? "guest %s would wait: %s" : "guest %s would start", guest->domain, reason);
	return 0;
}

/* It keeps no guest from starting, so it is no finding. */
static int add_running(void *ctx, const struct forecast_guest *guest)
{
	struct judged *j = ctx;
	struct guest_core core;
	struct error why = { 0 };
	if (guest_core_look(guest->domain, &core, &why) < 0)
		say(j->ctx, "warning: whether a crash of guest %s would leave its memory in a dump: %s", guest->domain,
		    why.message);
	else if (core.runs && core.dumps)
		json_object_array_add(j->dumps, json_object_new_string(guest->domain));
	attached_core(j->ctx, guest->domain, &core);
	return 0;
}

/* Nor this: what of it lies on a disk. */
static int add_exposed(void *ctx, const struct forecast_guest *guest)
{
	struct judged *j = ctx;
	attached_exposed(j->ctx, guest->domain, j->exposed);
	return 0;
}

/* One that is in no configuration. */
static int add_transient(void *ctx, const struct forecast_guest *guest)
{
	char path[512];
	snprintf(path, sizeof(path), CONFIGURATIONS "/%.255s.xml", guest->domain);
	return access(path, F_OK) == 0 ? 0 : add_exposed(ctx, guest);
}

static void judge_keystore(struct judged *j, const struct boot_unit *units)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error why = { 0 };
	if (person_open_keystore(j->ctx, &ks, &why) < 0) {
		find(j, "%s", why.message);
		return;
	}
	judge_network(j, ks, units);
	judge_ways(j, ks);
	j->keys = !json_object_array_length(j->findings);
	if (forecast_guests(ks, CONFIGURATIONS, add_guest, j, &why) < 0 ||
	    forecast_running(ks, RUNNING, add_running, j, &why) < 0 ||
	    forecast_running(ks, CONFIGURATIONS, add_exposed, j, &why) < 0 ||
	    forecast_running(ks, RUNNING, add_transient, j, &why) < 0)
		find(j, "%s", why.message);
}

static void judge_units(struct judged *j, const char *root, const struct boot_unit *units)
{
	struct error why = { 0 };
	bool reload = units[1].enabled;
	if (!units[0].enabled && !reload)
		find(j, "keys are not loaded when the host starts: `kvmcrypt boot enable`");
	else if (!units[0].enabled || !units[2].enabled)
		find(j, "libvirt starts guests before it has the keys: `kvmcrypt boot enable` without --no-ram, or "
			"`kvmcrypt load --start` after each start");
	if (boot_credential_check(root, SECRETS_DIR_DEFAULT, &why) < 0)
		find(j, "%s", why.message);
	for (size_t i = 0; i < BOOT_UNITS; i++)
		if (!strcmp(units[i].state, "failed"))
			find(j, "%s has failed: `journalctl -b -u %s` says why", units[i].name, units[i].name);
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
		r = output_list_add(list, row);
	}
	if (!list)
		return r;
	struct json_object *extra = json_object_new_object();
	bool whole = !(root && *root);
	if (changed >= 0)
		put_bool(extra, "changed", changed);
	json_object_object_add(extra, "in_memory",
			       whole ? json_object_new_boolean(secrets_dir_is_mounted(SECRETS_DIR_DEFAULT)) : NULL);
	json_object_object_add(extra, "guests_in_memory",
			       whole ? json_object_new_boolean(secrets_dir_is_mounted(DOMAINS_DIR_DEFAULT)) : NULL);
	if (judge) {
		struct judged j = { .ctx = ctx, .findings = json_object_new_array(), .ways = json_object_new_array(),
				    .guests = json_object_new_array(), .dumps = json_object_new_array(),
				    .exposed = json_object_new_array() };
		judge_units(&j, root, units);
		/* The keystore of a host that does not run may be where this one cannot know. */
		if (whole)
			judge_keystore(&j, units);
		size_t n = json_object_array_length(j.findings);
		if (r == 0 && n)
			r = error_set(e, ERROR_FAILED, EAGAIN,
				      "encrypted guests would not start by themselves (%zu finding%s)", n,
				      n == 1 ? "" : "s");
		json_object_object_add(extra, "unseals_with", j.ways);
		json_object_object_add(extra, "guests", j.guests);
		json_object_object_add(extra, "core_dumps", j.dumps);
		json_object_object_add(extra, "exposed", j.exposed);
		json_object_object_add(extra, "findings", j.findings);
	}
	return output_list_end(list, r, extra, e);
}
