#include "lib/serve/load.h"
#include "lib/volume/hold.h"
#include "lib/volume/internal.h"
#include "lib/volume/list.h"
#include "lib/serve/open.h"
#include "lib/serve/register.h"
#include "lib/volume/mapped.h"

#include "lib/guest/config.h"
#include "lib/guest/domains_dir.h"
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

/* The volumes meant; a damaged record is left out and told of: it must not keep the guests of others from starting. */
static int find_meant(struct keystore *ks, const struct volume_load *p, struct volume_list *ret, struct error *e)
{
	CLEANUP(guest_config_clear) struct guest_config config = { 0 };
	AUTOFREE char *configurations = NULL;
	if (p->ram && asprintf(&configurations, "%s/../qemu", p->secrets_dir) < 0) {
		configurations = NULL;
		return error_oom(e);
	}
	int r = p->ram ? guest_config_read(configurations, &config, e) : 0;
	return r < 0 ? r : volume_list_all(ks, is_wanted, p->ram ? &config : NULL, ret, e);
}

/* Volumes of one's own, but for those that are mapped: opening one holds it itself. */
struct batch {
	struct volume_hold holds[BATCH];
	size_t n;
	const unsigned char *busy[BATCH];	/* those that another process has just now */
	size_t n_busy;
};

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		volume_release(&b->holds[i]);
	b->n = b->n_busy = 0;
}

static int batch_add(const struct volume_env *env, const uuid_t volume, unsigned flags, struct batch *b,
		     struct error *e)
{
	struct volume_hold *h = &b->holds[b->n];
	int r = volume_hold(env, volume, NULL, HOLD_UNFINISHED | flags, h, e);
	if (r < 0)
		return r;
	b->n++;
	if (volume_is_mapped_for_guests(h->record)) {
		cleanup_close(&h->lock);
		h->lock = -1;
	}
	return 0;
}

/*
 * The volumes [from, from + BATCH); one that went away meanwhile is left out, and so is one that is damaged or that
 * another host has, which must not keep the guests of all others from starting (*first tells of it). None is waited
 * for while others are held.
 */
static int batch_get(const struct volume_env *env, const uuid_t *volumes, size_t n, struct batch *b,
		     struct error *first, struct error *e)
{
	for (size_t i = 0; i < n && i < BATCH; i++) {
		struct error why = { 0 };
		int r = batch_add(env, volumes[i], HOLD_TRY, b, &why);
		if (r == -EBUSY)
			b->busy[b->n_busy++] = volumes[i];
		else if (r < 0 && why.kind != ERROR_NOT_FOUND && why.kind != ERROR_DAMAGED && why.kind != ERROR_REFUSED)
			return error_pass(e, &why);
		else if (r < 0 && why.kind != ERROR_NOT_FOUND && !first->kind)
			*first = why;
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
		if (!volume_is_mapped_for_guests(b->holds[i].record))
			list[n++] = b->holds[i].record;
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

struct run {
	const struct volume_env *env;
	const struct place *where;
	const struct volume_load *p;
	struct error first;
};

static int run_batch(struct run *run, struct batch *b)
{
	const struct volume_load *p = run->p;
	int r = 0;
	if (p->load && !p->dry_run)
		reveal_secrets(run->env->ks, b);
	for (size_t i = 0; i < b->n && r >= 0; i++) {
		struct volume_loaded l = { .record = b->holds[i].record };
		run_one(run->env, run->where, &b->holds[i].record, p->load, p->dry_run, &l);
		l.record = b->holds[i].record;
		if (l.error.kind && !run->first.kind)
			run->first = l.error;
		r = p->loaded(p->ctx, &l);
	}
	batch_clear(b);
	return r;
}

/* Those that were busy, each by itself; one whose process does not end is told of. */
static int run_busy(struct run *run, const unsigned char *const *volumes, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r >= 0; i++) {
		CLEANUP(batch_clear) struct batch one = { 0 };
		AUTORECORD struct record *seen = NULL;
		struct volume_loaded l = { 0 };
		if (batch_add(run->env, volumes[i], 0, &one, &l.error) == 0) {
			r = run_batch(run, &one);
		} else if (keystore_get(run->env->ks, volumes[i], &seen, NULL) == 0) {
			l.record = seen;
			run->first = run->first.kind ? run->first : l.error;
			r = run->p->loaded(run->p->ctx, &l);
		}
	}
	return r;
}

static int run(const struct volume_env *env, const struct place *where, const struct volume_load *p,
	       const struct volume_list *l, struct error *e)
{
	struct run run = { .env = env, .where = where, .p = p };
	for (size_t at = 0; at < l->n; at += BATCH) {
		CLEANUP(batch_clear) struct batch b = { 0 };
		const unsigned char *busy[BATCH];
		int r = batch_get(env, l->uuids + at, l->n - at, &b, &run.first, e);
		if (r < 0)
			return r;
		size_t n = b.n, n_busy = b.n_busy;
		memcpy(busy, b.busy, sizeof(busy));
		r = run_batch(&run, &b);
		if (r >= 0)
			r = run_busy(&run, busy, n_busy);
		if (r < 0)
			return r;
		progress_report(env->progress, p->load ? "loading" : "unloading", at + n + n_busy, l->n);
	}
	return run.first.kind ? error_pass(e, &run.first) : 0;
}

/* ---- how ---- */

int volume_load_where(const struct volume_load *p, bool *ret_online, struct error *e)
{
	bool runs = true;
	int r = p->ram ? secrets_dir_daemon_runs(&runs, e) : 0;
	if (r < 0)
		return r;
	if (p->ram && runs && (!p->load || !secrets_dir_is_mounted(p->secrets_dir)))
		return secrets_dir_check_stopped(p->secrets_dir, e);
	*ret_online = runs;
	return 0;
}

/* With the volumes of p, or those that are meant. A damaged record is an error, after all others are done. */
static int run_all(const struct volume_env *env, const struct place *where, const struct volume_load *p,
		   struct volume_list *meant, struct error *e)
{
	int r = p->named ? 0 : find_meant(env->ks, p, meant, e);
	const struct volume_list *l = p->named ? p->named : meant;
	if (r == 0)
		r = run(env, where, p, l, e);
	return r == 0 && l->damaged.kind ? error_pass(e, &l->damaged) : r;
}

/* The directory of secrets of this host's own daemon; another is of one whose other directories nobody knows. */
static bool is_of_system(const struct volume_load *p)
{
	return !strcmp(p->secrets_dir, SECRETS_DIR_DEFAULT);
}

int volume_load_online(const struct volume_env *env, struct guest_connection *g, const struct volume_load *p,
		       struct error *e)
{
	AUTOVOLUMES struct volume_list meant = { 0 };
	const struct place where = { .g = g };
	struct error why = { 0 };
	int r = p->load ? guest_require_secure(g, e) : 0;
	/* A daemon runs: this says so if the keys of its guests are on the disk. */
	if (r == 0 && p->load && p->ram && is_of_system(p))
		r = domains_dir_enter(DOMAINS_DIR_DEFAULT, env->note, env->note_context, e);
	if (r < 0)
		return r;
	r = run_all(env, &where, p, &meant, e);
	/* A volume that failed keeps no guest of the others waiting. */
	const struct volume_list *l = p->named ? p->named : &meant;
	if (p->start && volume_start_guests(g, l->uuids, l->n, p->dry_run, p->started, p->ctx, &why) < 0 && r == 0)
		r = error_pass(e, &why);
	return r;
}

struct counted {
	const struct volume_load *p;
	size_t n, failed;
};

static int count(void *ctx, const struct volume_loaded *l)
{
	struct counted *c = ctx;
	c->n++;
	c->failed += l->error.kind != ERROR_NONE;
	return c->p->loaded(c->p->ctx, l);
}

int volume_load_before(const struct volume_env *env, const struct volume_load *p, const struct error *sealed,
		       struct error *e)
{
	AUTOSECRETSDIR struct secrets_dir *dir = NULL;
	AUTOVOLUMES struct volume_list meant = { 0 };
	struct counted c = { .p = p };
	struct volume_load counting = *p;
	struct error why = { 0 };
	counting.loaded = count;
	counting.ctx = &c;
	int r = p->dry_run ? 0 : secrets_dir_begin(p->secrets_dir, env->note, env->note_context, &dir, e);
	if (r < 0)
		return r;
	const struct place where = { .dir = dir, .path = p->secrets_dir };
	r = sealed ? error_pass(e, sealed) : run_all(env, &where, &counting, &meant, e);
	if (dir && secrets_dir_commit(dir, &why) < 0)
		return error_pass(e, &why);
	/* The keys of running guests, too; where that fails they start all the same. */
	if (dir && is_of_system(p) &&
	    domains_dir_enter(DOMAINS_DIR_DEFAULT, env->note, env->note_context, &why) < 0 && r == 0)
		return error_pass(e, &why);
	if (r == 0)
		return 0;
	if (sealed)
		return error_prefix(e, "guests with encrypted disks wait: `kvmcrypt unseal`, then `kvmcrypt load "
				       "--start`");
	bool damaged = (p->named ? p->named : &meant)->damaged.kind != ERROR_NONE;
	return error_prefix(e, "guests of %zu of %zu volumes wait: put it right, then `kvmcrypt load --start`",
			    c.failed + damaged, c.n + damaged);
}

int volume_unload_after(const struct volume_env *env, const struct volume_load *p, const struct error *closed,
			struct error *e)
{
	AUTOVOLUMES struct volume_list meant = { 0 };
	const struct place where = { .path = p->secrets_dir };
	struct error why = { 0 };
	bool was = false;
	int r = closed ? error_pass(e, closed) : run_all(env, &where, p, &meant, e);
	/* What others have there is saved also when the keystore is damaged. */
	if (!p->dry_run && secrets_dir_leave(p->secrets_dir, &was, &why) < 0 && r == 0)
		r = error_pass(e, &why);
	if (!p->dry_run && is_of_system(p) &&
	    domains_dir_leave(DOMAINS_DIR_DEFAULT, env->note, env->note_context, &why) < 0 && r == 0)
		r = error_pass(e, &why);
	return r;
}
