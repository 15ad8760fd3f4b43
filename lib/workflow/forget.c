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

static int check(const struct volume_env *env, struct guest_connection *g, const struct record *r, struct error *e)
{
	int ret = g ? volume_check_unused(g, r, e) : 0;
	if (ret == 0)
		ret = volume_check_unmapped(r, e);
	if (ret == 0)
		ret = volume_check_ready(r, e);
	return ret < 0 ? ret : volume_check_no_overlay(env->ks, r, "forget", e);
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
