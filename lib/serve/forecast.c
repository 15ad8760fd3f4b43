#include "lib/serve/forecast.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/state.h"

#include "lib/guest/config.h"
#include "lib/guest/secret.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- ways to unseal ---- */

/* Where systemd takes the credential of the units from (systemd.exec(5), LoadCredential=). */
static const char *const credentials[] = { "/etc/credstore/" KEYSTORE_CREDENTIAL, "/run/"
										  "credstore/" KEYSTORE_CREDENTIAL };

static int try_file(struct keystore *ks, const char *path, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	int r = slot_read_key_file(path, &key, e);
	if (r < 0)
		return r;
	return keystore_unseal(ks, key, e);
}

/* A handle of its own for each: the caller's is not unsealed by it. */
static void try_way(struct keystore *ks, const struct slot *s, const char *path, struct forecast_way *way)
{
	AUTOKEYSTORE struct keystore *own = NULL;
	struct error why = { 0 };
	int r = keystore_open(keystore_path(ks), &own, &why);
	if (r == 0)
		r = path ? try_file(own, path, &why) : keystore_unseal_slot(own, s->slot, NULL, &why);
	/* A key may have been tried on slots of another kind before it opened one. */
	if (r < 0)
		way->error = why;
}

int forecast_ways(struct keystore *ks, forecast_way_fn fn, void *ctx, struct error *e)
{
	struct slot *slots = NULL;
	size_t n = 0;
	int r = keystore_slots(ks, &slots, &n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(credentials) && r == 0; i++) {
		struct forecast_way way = { .name = "credential", .slot = -1 };
		if (access(credentials[i], F_OK) < 0 && errno == ENOENT)
			continue;
		try_way(ks, NULL, credentials[i], &way);
		r = fn(ctx, &way);
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		struct forecast_way way = { .name = slot_type_name(slots[i].type), .slot = slots[i].slot };
		if (!slot_works_alone(&slots[i], NULL))
			continue;
		try_way(ks, &slots[i], NULL, &way);
		r = fn(ctx, &way);
	}
	slots_free(slots, n);
	return r;
}

/* ---- guests ---- */

struct walk {
	struct keystore *ks;
	const struct guest_config *config;	/* of one guest, while the records are looked at */
	struct forecast_guest *guest;
	bool needs;			/* it needs one of ours */
	forecast_guest_fn fn;
	void *ctx;
};

/* Does the guest need this volume, and what would keep it from having it? */
static int look_at(void *ctx, const struct record *r)
{
	struct walk *w = ctx;
	char mapping[128];
	uuid_t secret;
	guest_secret_uuid(r->uuid, secret);
	volume_guest_mapping(r, mapping, sizeof(mapping));
	if (!guest_config_names(w->config, secret) && !guest_config_names_mapping(w->config, mapping))
		return 0;
	w->needs = true;
	if (w->guest->error.kind)
		return 0;
	if (volume_state_flags(r->state) & STATE_NO_KEY)
		volume_check_ready(r, &w->guest->error);
	else if (!volume_path_taken(r->path))
		error_set(&w->guest->error, ERROR_NOT_FOUND, ENOENT, "%s is not there", r->path);
	return 0;
}

static int look_at_guest(void *ctx, const char *name, const struct guest_config *config, struct error *e)
{
	struct walk *w = ctx;
	struct forecast_guest guest = { .domain = name };
	w->config = config;
	w->guest = &guest;
	w->needs = false;
	if (!config->n)
		return 0;
	struct error why = { 0 };
	int r = keystore_each(w->ks, look_at, w, &why);
	/* A damaged record keeps nobody from looking at the others. */
	if (r < 0 && why.kind != ERROR_DAMAGED)
		return error_pass(e, &why);
	return w->needs ? w->fn(w->ctx, &guest) : 0;
}

int forecast_guests(struct keystore *ks, const char *configurations, forecast_guest_fn fn, void *ctx, struct error *e)
{
	AUTOFREE char *dir = NULL;
	struct walk w = { .ks = ks, .fn = fn, .ctx = ctx };
	if (asprintf(&dir, "%s/autostart", configurations) < 0) {
		dir = NULL;
		return error_oom(e);
	}
	return guest_config_each(dir, look_at_guest, &w, e);
}

/* What libvirt's daemon keeps of guests that run is in files like their configurations. */
int forecast_running(struct keystore *ks, const char *run, forecast_guest_fn fn, void *ctx, struct error *e)
{
	struct walk w = { .ks = ks, .fn = fn, .ctx = ctx };
	return guest_config_each(run, look_at_guest, &w, e);
}
