/*
 * The record goes, the disk stays as it is. No workflow of the engine: there is one step, and nothing to undo. It is
 * for volumes that another host has, or that are opened by other means; so `moved` is no obstacle here.
 */
#include "lib/guest/secret.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/state.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <string.h>

struct search {
	const struct record *base;
	char *overlay;
};

static int look_for_overlay(void *ctx, const struct record *r)
{
	struct search *s = ctx;
	bool by_path = r->backing && !strcmp(r->backing, s->base->path);
	if (!by_path && uuid_compare(r->parent, s->base->uuid))
		return 0;
	s->overlay = strdup(r->path);
	return s->overlay ? 1 : -ENOMEM;
}

/* Whoever has a volume above this one would lose it with this key. */
static int refuse_base(const struct volume_env *env, const struct record *r, struct error *e)
{
	struct search s = { .base = r };
	struct error why = { 0 };
	int ret = keystore_each(env->ks, look_for_overlay, &s, &why);
	AUTOFREE char *overlay = s.overlay;
	if (overlay)
		return error_set(e, ERROR_REFUSED, EBUSY,
				 "%s is the backing file of volume %s, which would be lost without this key: forget "
				 "that first", r->path, overlay);
	return ret < 0 ? error_pass(e, &why) : 0;
}

static int check(const struct volume_env *env, struct guest_connection *g, const struct record *r, struct error *e)
{
	int ret = g ? volume_check_unused(g, r, e) : 0;
	if (ret == 0)
		ret = volume_check_unmapped(r, e);
	if (ret == 0)
		ret = volume_check_ready(r, e);
	return ret < 0 ? ret : refuse_base(env, r, e);
}

int volume_forget(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, bool dry_run,
		  struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTORECORD struct record *r = NULL;
	int ret = volume_lock(env->ks, volume, true, &lock, e);
	if (ret == 0)
		ret = keystore_get(env->ks, volume, &r, e);
	if (ret == 0)
		ret = check(env, g, r, e);
	if (ret < 0 || dry_run)
		return ret;
	/* The secret first: without the record nobody would know of it any more. */
	if (g && (ret = guest_secret_forget(g, r->uuid, NULL, e)) < 0)
		return ret;
	return keystore_remove(env->ks, r, "forget", r->path, e);
}
