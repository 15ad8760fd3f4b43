#include "lib/serve/register.h"
#include "lib/volume/internal.h"

#include "lib/guest/secret.h"
#include "lib/guest/secrets_dir.h"

#include <errno.h>

#define TRIES 8

/* Where a key goes: to a daemon, or into its directory. */
struct destination {
	struct guest_connection *g;
	struct secrets_dir *dir;
};

static int put(const struct destination *to, const struct record *r, bool *ret_new, bool *ret_ephemeral,
	       struct error *e)
{
	if (to->dir)
		return secrets_dir_put(to->dir, r->uuid, r->path, r->passphrase, ret_new, e);
	return guest_secret_register(to->g, r->uuid, r->path, r->passphrase, ret_new, ret_ephemeral, e);
}

/* An erase forgets the secret after the record says so: what came after that is taken back here. */
static int take_back(const struct destination *to, const struct record *r, struct error *e)
{
	struct error why = { 0 };
	int result =
		to->dir ? secrets_dir_forget(to->dir, r->uuid, &why) : guest_secret_forget(to->g, r->uuid, NULL, &why);
	return result < 0 ? error_pass(e, &why)
			  : error_set(e, ERROR_NOT_FOUND, ENOENT, "%s was erased meanwhile", r->path);
}

/*
 * A rotation may store a new passphrase and give it to libvirt between our reading the record and
 * our giving what we read. So the record is looked at once more afterwards, and a changed one is
 * registered again: the newest value is the one that stays.
 */
static int hand_out(const struct volume_env *env, const struct destination *to, struct record **r, const char *purpose,
		    bool *ret_new, bool *ret_ephemeral, struct error *e)
{
	bool fresh = false, any = false;
	int result = (*r)->revealed ? 0 : volume_reread(env->ks, r, purpose, e);
	for (int i = 0; i < TRIES && result == 0; i++) {
		AUTORECORD struct record *now = NULL;
		result = put(to, *r, &fresh, ret_ephemeral, e);
		any = any || fresh;
		if (result < 0)
			return result;
		result = keystore_get(env->ks, (*r)->uuid, &now, e);
		if (result == -ENOENT || (result == 0 && now->state == RECORD_ERASING))
			return take_back(to, *r, e);
		if (result == 0 && now->revision == (*r)->revision) {
			if (ret_new)
				*ret_new = any;
			return 0;
		}
		if (result == 0)
			result = volume_reread(env->ks, r, purpose, e);
	}
	return result < 0 ? result
			  : error_set(e, ERROR_BUSY, EBUSY, "%s is being changed all the time by another process",
				      (*r)->path);
}

int volume_register(const struct volume_env *env, struct guest_connection *g, struct record **r,
		    const char *purpose, bool *ret_new, bool *ret_ephemeral, struct error *e)
{
	const struct destination to = { .g = g };
	int result = guest_require_secure(g, e);
	return result < 0 ? result : hand_out(env, &to, r, purpose, ret_new, ret_ephemeral, e);
}

int volume_register_in(const struct volume_env *env, struct secrets_dir *dir, struct record **r, const char *purpose,
		       bool *ret_new, struct error *e)
{
	const struct destination to = { .dir = dir };
	return hand_out(env, &to, r, purpose, ret_new, NULL, e);
}
