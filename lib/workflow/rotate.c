#include "lib/workflow/rotate.h"
#include "lib/volume/keyslots.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"
#include "lib/workflow/reencrypt/internal.h"

#include "lib/guest/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * The record during a rotation: `passphrase` is always one that surely opens the volume, `pending`
 * the other. Before the commit (ROTATING) that is the new one, after it (RETIRING) the old one;
 * whatever interrupts us, the way out is the same: keep `passphrase`, destroy what `pending` opens.
 */
static int begin(const struct volume_env *env, struct record *r, struct error *e)
{
	int result = secret_generate_passphrase(&r->pending, e);
	if (result < 0)
		return result;
	r->state = RECORD_ROTATING;
	return keystore_put(env->ks, r, "rotate-begin", NULL, e);
}

static int commit(const struct volume_env *env, struct record *r, struct error *e)
{
	struct secret *old = r->passphrase;
	r->passphrase = r->pending;
	r->pending = old;
	r->generation++;
	r->rotated = (int64_t)time(NULL);
	r->state = RECORD_RETIRING;
	return keystore_put(env->ks, r, "rotate", NULL, e);
}

static int end(const struct volume_env *env, struct record *r, const char *action, struct error *e)
{
	secret_free(r->pending);
	r->pending = NULL;
	r->state = RECORD_READY;
	return keystore_put(env->ks, r, action, NULL, e);
}

/* libvirt's secret, where it has one, so that the next start of a guest works. */
static int tell_libvirt(struct guest_connection *g, const struct record *r, bool *ret_registered, struct error *e)
{
	if (!g || volume_is_mapped_for_guests(r) || !guest_secret_exists(g, r->uuid))
		return 0;
	int result = guest_secret_register(g, r->uuid, r->path, r->passphrase, NULL, NULL, e);
	if (result == 0)
		*ret_registered = true;
	return result;
}

/* From the commit on: libvirt, then the old keyslot. */
static int finish(const struct volume_env *env, struct guest_connection *g, struct keyslots *k, struct record *r,
		  const char *action, bool *ret_registered, struct error *e)
{
	int result = tell_libvirt(g, r, ret_registered, e);
	if (result == 0)
		result = keyslots_remove(k, r->pending, NULL, e);
	return result < 0 ? result : end(env, r, action, e);
}

/*
 * Never destroys a keyslot before the other passphrase was seen to open the volume: what the record
 * says may be younger or older than what the disk has, after a power cut of either.
 */
static int choose(const struct keyslots *k, struct record *r, struct error *e)
{
	struct error why = { 0 };
	int result = keyslots_prove(k, r->passphrase, &why);
	if (result == 0 || why.kind != ERROR_BAD_KEY || !r->pending || keyslots_prove(k, r->pending, NULL) < 0) {
		if (result < 0)
			*e = why;
		return result;
	}
	struct secret *other = r->passphrase;
	r->passphrase = r->pending;
	r->pending = other;
	r->state = RECORD_RETIRING;
	return 0;
}

static int settle(const struct volume_env *env, struct guest_connection *g, struct keyslots *k, struct record *r,
		  const char *action, bool *ret_finished, struct error *e)
{
	bool registered = false;
	int result = choose(k, r, e);
	if (result < 0)
		return result;
	*ret_finished = r->state == RECORD_RETIRING;
	return r->pending ? finish(env, g, k, r, action, &registered, e) : end(env, r, action, e);
}

int volume_rotate_settle(const struct volume_env *env, struct guest_connection *g, struct record *r,
			 bool *ret_finished, struct error *e)
{
	AUTOKEYSLOTS struct keyslots k = { 0 };
	int result = keyslots_begin(env, g, r, &k, e);
	return result < 0 ? result : settle(env, g, &k, r, "recover", ret_finished, e);
}

/*
 * After a failure. A commit may have been stored although it reported an error, so the store is
 * asked what counts.
 */
static int take_back(const struct volume_env *env, struct guest_connection *g, struct keyslots *k, struct record **r,
		     bool *ret_finished, struct error *e)
{
	int result = volume_reread(env->ks, r, "rotate", e);
	k->record = *r;
	if (result < 0 || (*r)->state == RECORD_READY)
		return result;
	return settle(env, g, k, *r, "rotate-undone", ret_finished, e);
}

static int prepare(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int *ret_lock,
		   struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = volume_lock(env->ks, volume, true, ret_lock, e);
	if (result == 0)
		result = keystore_get(env->ks, volume, &r, e);
	if (result == 0 && r->state != RECORD_ROTATING && r->state != RECORD_RETIRING)
		result = volume_check_ready(r, e);
	if (result == 0)
		result = keystore_reveal(env->ks, &r, 1, "rotate", NULL, e);
	/* One that was interrupted is brought to its end first. */
	bool finished;
	if (result == 0 && r->state != RECORD_READY)
		result = volume_rotate_settle(env, g, r, &finished, e);
	if (result == 0)
		result = reencrypt_drop_link(env, g, r, e);
	if (result == 0)
		*ret = TAKE_PTR(r);
	return result;
}

static int look_only(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		     const struct volume_rotate *p, struct volume_rotated *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTODOMAIN virDomainPtr d = NULL;
	struct volume_mapping m = { 0 };
	char target[32];
	int result = keystore_get(env->ks, volume, &r, e);
	if (result == 0 && r->state != RECORD_ROTATING && r->state != RECORD_RETIRING)
		result = volume_check_ready(r, e);
	if (result == 0 && !g && r->n_domains && !p->without_libvirt)
		result = error_set(e, ERROR_LIBVIRT, ENOTCONN,
				   "domain %s has %s, and libvirt cannot be reached to renew its secret (--no-libvirt rotates without)",
				   r->domains[0].name, r->path);
	if (result == 0)
		result = volume_mapping(r, &m, e);
	if (result == 0 && !volume_is_mapped_for_guests(r))
		result = volume_find_guest(g, r, &d, target, sizeof(target), e);
	if (result < 0)
		return result;
	*ret = (struct volume_rotated){
		.changed = true,
		.how = d ? "live" : m.name[0] ? "mapped" : "at rest",
		.generation = r->generation,
	};
	if (d)
		snprintf(ret->domain, sizeof(ret->domain), "%s", virDomainGetName(d));
	return 0;
}

int volume_rotate(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		  const struct volume_rotate *p, struct volume_rotated *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOCLOSE int lock = -1;
	AUTOKEYSLOTS struct keyslots k = { 0 };
	struct volume_rotated done;
	struct error why = { 0 };
	int result = g ? guest_require_secure(g, e) : 0;
	if (result == 0)
		result = look_only(env, g, volume, p, &done, e);
	if (result < 0 || p->dry_run) {
		if (result == 0)
			*ret = done;
		return result;
	}
	if ((result = prepare(env, g, volume, &lock, &r, e)) < 0 || (result = keyslots_begin(env, g, r, &k, e)) < 0 ||
	    (result = begin(env, r, e)) < 0)
		return result;
	result = keyslots_add(&k, r->passphrase, r->pending, e);
	if (result == 0)
		result = commit(env, r, e);
	if (result < 0) {
		bool finished = false;
		if (take_back(env, g, &k, &r, &finished, &why) < 0)
			return error_prefix(e, "%s may have two keyslots now: run `kvmcrypt recover` (%s)", r->path,
					    why.message);
		return error_prefix(e, finished ? "%s has its new passphrase, in spite of" : "%s keeps its passphrase",
				    r->path);
	}
	result = finish(env, g, &k, r, "rotate-end", &done.registered, e);
	if (result < 0)
		return error_prefix(e, "%s has its new passphrase, but the old keyslot is still there: run `kvmcrypt recover`",
				    r->path);
	if (k.domain)
		snprintf(done.domain, sizeof(done.domain), "%s", virDomainGetName(k.domain));
	done.how = k.domain ? "live" : done.how;
	done.generation = r->generation;
	*ret = done;
	return 0;
}
