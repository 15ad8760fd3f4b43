#include "lib/volume/hold.h"
#include "lib/volume/internal.h"

#include <errno.h>

int volume_hold(const struct volume_env *env, const uuid_t volume, const char *purpose, unsigned flags,
		struct volume_hold *ret, struct error *e)
{
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	int r = volume_lock(env->ks, volume, !(flags & HOLD_TRY), &h.lock, e);
	if (r == 0)
		r = keystore_get(env->ks, volume, &h.record, e);
	if (r == 0)
		r = volume_check_here(h.record, e);
	if (r == 0 && !(flags & HOLD_UNFINISHED))
		r = volume_check_ready(h.record, e);
	if (r == 0 && purpose)
		r = keystore_reveal(env->ks, &h.record, 1, purpose, NULL, e);
	if (r < 0)
		return r;
	uuid_copy(h.uuid, volume);
	*ret = h;
	h = (struct volume_hold)VOLUME_HOLD_NONE;
	return 0;
}

void volume_release(struct volume_hold *h)
{
	record_free(h->record);
	cleanup_close(&h->lock);
	*h = (struct volume_hold)VOLUME_HOLD_NONE;
}
