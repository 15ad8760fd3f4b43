#include "lib/volume/internal.h"

#include "lib/guest/secret.h"

#include <errno.h>

#define TRIES 8

/*
 * A rotation may store a new passphrase and give it to libvirt between our reading the record and
 * our giving what we read. So the record is looked at once more afterwards, and a changed one is
 * registered again: the newest value is the one that stays.
 */
int volume_register(const struct volume_env *env, struct guest_connection *g, struct record **r,
		    const char *purpose, bool *ret_new, bool *ret_ephemeral, struct error *e)
{
	bool fresh = false, any = false;
	int result = guest_require_secure(g, e);
	if (result == 0 && !(*r)->revealed)
		result = volume_reread(env->ks, r, purpose, e);
	for (int i = 0; i < TRIES && result == 0; i++) {
		AUTORECORD struct record *now = NULL;
		result = guest_secret_register(g, (*r)->uuid, (*r)->path, (*r)->passphrase, &fresh, ret_ephemeral, e);
		any = any || fresh;
		if (result == 0)
			result = keystore_get(env->ks, (*r)->uuid, &now, e);
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
