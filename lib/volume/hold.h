/*
 * A volume of one's own for as long as something is done with it: lock, read again, check. Whatever was seen of it
 * before is only good for an early refusal.
 */
#ifndef LIB_VOLUME_HOLD_H
#define LIB_VOLUME_HOLD_H

#include "lib/volume/volume.h"

struct volume_hold {
	int lock;		/* -1: not held */
	uuid_t uuid;
	struct record *record;	/* as read under the lock */
};

enum volume_hold_flags {
	HOLD_TRY = 1,		/* do not wait for another process: ERROR_BUSY at once */
	HOLD_UNFINISHED = 2,	/* also in the middle of a workflow */
};

/*
 * Locks the volume, waiting up to 30 s, and reads its record anew. purpose: reveals it too, with an audit row of that
 * word; NULL: plain fields. ERROR_BUSY: another process has it, or a workflow is unfinished; ERROR_NOT_FOUND: it went
 * away meanwhile; ERROR_REFUSED: another host has it (`moved`). Never take two holds of one volume in a process.
 */
int volume_hold(const struct volume_env *env, const uuid_t volume, const char *purpose, unsigned flags,
		struct volume_hold *ret, struct error *e);
void volume_release(struct volume_hold *h);
#define AUTOHOLD CLEANUP(volume_release)
#define VOLUME_HOLD_NONE { .lock = -1 }

#endif
