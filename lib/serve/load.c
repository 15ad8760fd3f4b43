#include "lib/serve/attach.h"
#include "lib/volume/internal.h"
#include "lib/volume/list.h"
#include "lib/serve/open.h"
#include "lib/volume/mapped.h"

#include "lib/guest/config.h"
#include "lib/guest/secret.h"
#include "lib/guest/secrets_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* So many keys are in memory, and so many uses in one audit transaction, at a time. */
#define BATCH 256

/* An interrupted rotation or resize is no reason to leave a guest without its disk: the recorded
 * passphrase opens it at every moment of them. */
static bool has_key(const struct record *r)
{
	return !(volume_state_flags(r->state) & STATE_NO_KEY);
}

static bool is_used(const struct guest_config *config, const struct record *r)
{
	uuid_t secret;
	char mapping[MAPPING_NAME_LEN];
	guest_secret_uuid(r->uuid, secret);
	volume_guest_mapping(r, mapping, sizeof(mapping));
	return r->n_domains || guest_config_names(config, secret) ||
	       (volume_is_mapped_for_guests(r) && guest_config_names_mapping(config, mapping));
}

/* A mapping is for a guest that has it; others are opened by `kvmcrypt open`. */
static bool is_wanted(void *ctx, const struct record *r)
{
	const struct guest_config *used = ctx;
	return has_key(r) && (used ? is_used(used, r) : !volume_is_mapped_for_guests(r) || r->n_domains);
}

int volume_all(struct keystore *ks, const char *used_in, uuid_t **ret, size_t *ret_n, struct error *ret_damaged,
	       struct error *e)
{
	CLEANUP(guest_config_clear) struct guest_config config = { 0 };
	struct volume_list l = { 0 };
	int r = used_in ? guest_config_read(used_in, &config, e) : 0;
	if (r == 0)
		r = volume_list_all(ks, is_wanted, used_in ? &config : NULL, &l, e);
	if (r < 0)
		return r;
	*ret = l.uuids;
	*ret_n = l.n;
	*ret_damaged = l.damaged;
	return 0;
}

struct batch {
	struct record *records[BATCH];
	size_t n;
};

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		record_free(b->records[i]);
	b->n = 0;
}

/*
 * The volumes [from, from + BATCH); one that went away meanwhile is left out, and so is a damaged
 * one, which must not keep the guests of all others from starting (*first tells of it).
 */
static int batch_get(struct keystore *ks, const uuid_t *volumes, size_t n, struct batch *b,
		     struct error *first, struct error *e)
{
	b->n = 0;
	for (size_t i = 0; i < n && i < BATCH; i++) {
		struct error why = { 0 };
		int r = keystore_get(ks, volumes[i], &b->records[b->n], &why);
		if (r == 0) {
			b->n++;
		} else if (why.kind == ERROR_DAMAGED) {
			if (!first->kind)
				*first = why;
		} else if (r != -ENOENT) {
			*e = why;
			return r;
		}
	}
	return 0;
}

/* The mapping instead of a secret. */
static void load_mapped(const struct volume_env *env, struct record *r, bool load, bool dry_run,
			struct volume_loaded *l)
{
	struct volume_opened done = { 0 };
	struct volume_open p = { .dry_run = dry_run };
	char name[MAPPING_NAME_LEN];
	volume_guest_mapping(r, name, sizeof(name));
	p.name = name;
	if (load)
		volume_open(env, r, &p, &done, &l->error);
	else
		volume_close(env, r, false, dry_run, &done, &l->error);
	l->changed = done.changed;
}

/* The records whose keys libvirt gets; the others' are revealed as they are mapped. */
static void reveal_secrets(struct keystore *ks, const struct batch *b)
{
	struct record *list[BATCH];
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (!volume_is_mapped_for_guests(b->records[i]))
			list[n++] = b->records[i];
	/* If one is damaged none is revealed, and run_one() does it one by one. */
	if (n)
		keystore_reveal(ks, list, n, "load", NULL, NULL);
}

/* To or from where: a daemon, or its directory while there is none. */
struct place {
	struct guest_connection *g;
	struct secrets_dir *dir;
	const char *path;	/* of the directory, for a dry run */
};

static void would_change(const struct place *at, const struct record *r, bool load, struct volume_loaded *l)
{
	int has = at->g ? guest_secret_exists(at->g, r->uuid, &l->error) : secrets_dir_has(at->path, r->uuid);
	l->changed = has >= 0 && has != load;
}

/* What is to be done with one volume; *l says how it went. */
static void run_one(const struct volume_env *env, const struct place *at, struct record **r, bool load,
		    bool dry_run, struct volume_loaded *l)
{
	if (volume_is_mapped_for_guests(*r))
		load_mapped(env, *r, load, dry_run, l);
	else if (dry_run)
		would_change(at, *r, load, l);
	else if (!load && at->g)
		guest_secret_forget(at->g, (*r)->uuid, &l->changed, &l->error);
	else if (!load)
		/* It goes with the whole directory, after this. */
		l->changed = secrets_dir_has(at->path, (*r)->uuid);
	else if (at->dir)
		volume_register_in(env, at->dir, r, "load", &l->changed, &l->error);
	/* Not revealed with the batch when one of it was changed just then: by itself, then. */
	else
		volume_register(env, at->g, r, "load", &l->changed, &l->ephemeral, &l->error);
}

static int run(const struct volume_env *env, const struct place *where, const uuid_t *volumes, size_t n, bool load,
	       bool dry_run, volume_loaded_fn fn, void *ctx, struct error *e)
{
	struct error first = { 0 };
	for (size_t at = 0; at < n; at += BATCH) {
		CLEANUP(batch_clear) struct batch b = { 0 };
		int r = batch_get(env->ks, volumes + at, n - at, &b, &first, e);
		if (r < 0)
			return r;
		if (load && !dry_run)
			reveal_secrets(env->ks, &b);
		for (size_t i = 0; i < b.n; i++) {
			struct volume_loaded l = { .record = b.records[i] };
			run_one(env, where, &b.records[i], load, dry_run, &l);
			l.record = b.records[i];
			if (l.error.kind && !first.kind)
				first = l.error;
			r = fn(ctx, &l);
			if (r < 0)
				return r;
		}
		progress_report(env->progress, load ? "loading" : "unloading", at + b.n, n);
	}
	if (!first.kind)
		return 0;
	*e = first;
	return -first.err;
}

int volume_load(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes, size_t n,
		bool dry_run, volume_loaded_fn fn, void *ctx, struct error *e)
{
	const struct place where = { .g = g };
	int r = guest_require_secure(g, e);
	return r < 0 ? r : run(env, &where, volumes, n, true, dry_run, fn, ctx, e);
}

int volume_unload(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes,
		  size_t n, bool dry_run, volume_loaded_fn fn, void *ctx, struct error *e)
{
	const struct place where = { .g = g };
	return run(env, &where, volumes, n, false, dry_run, fn, ctx, e);
}

int volume_load_ram(const struct volume_env *env, struct secrets_dir *dir, const char *path, const uuid_t *volumes,
		    size_t n, volume_loaded_fn fn, void *ctx, struct error *e)
{
	const struct place where = { .dir = dir, .path = path };
	return run(env, &where, volumes, n, true, !dir, fn, ctx, e);
}

int volume_unload_ram(const struct volume_env *env, const char *path, const uuid_t *volumes, size_t n, bool dry_run,
		      volume_loaded_fn fn, void *ctx, struct error *e)
{
	const struct place where = { .path = path };
	return run(env, &where, volumes, n, false, dry_run, fn, ctx, e);
}
