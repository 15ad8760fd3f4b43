/* New passphrases for volumes, at rest and while they are in use. */
#ifndef LIB_WORKFLOW_ROTATE_H
#define LIB_WORKFLOW_ROTATE_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

struct volume_rotate {
	bool dry_run;
	bool without_libvirt;	/* g is NULL on purpose, also for a volume that a domain has */
	bool volume_key;	/* volume_rotate_many(): a new volume key too, see reencrypt.h */
};

struct volume_rotated {
	bool changed;
	const char *how;	/* "at rest", "mapped", "live"; of a volume key "copy", "online", "live" */
	char domain[256];	/* live: the guest that runs with it; else "" */
	uint64_t generation;
	bool registered;	/* libvirt has the new passphrase */
};

/*
 * A new passphrase: sealed as pending → keyslot written and proven → record committed → libvirt's
 * secret → old keyslot destroyed and proven gone. At every moment the recorded passphrase opens the
 * volume and is the one that libvirt has. Other keyslots are not touched. g: NULL when libvirt is
 * not to be asked. ERROR_BUSY: the image is in use by somebody that we cannot ask.
 */
int volume_rotate(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		  const struct volume_rotate *p, struct volume_rotated *ret, struct error *e);

/*
 * The next passphrase is the one in force from now on, and what it replaces is pending: to be retired. Where a commit
 * leaves RECORD_RETIRING behind.
 */
void rotate_take_next(struct record *r);

/* ---- rotate_many.c ---- */

/* One volume of many, for the caller to show. error.kind NONE: done as `done` says. */
struct volume_rotation {
	const struct record *record;	/* as it was before; NULL if it could not be read */
	const unsigned char *uuid;
	struct volume_rotated done;
	struct error error;
};
typedef int (*volume_rotation_fn)(void *ctx, const struct volume_rotation *r);

/*
 * Rotates n volumes in `jobs` threads (0: as many as processors, at most 8). One that fails does not
 * stop the others; each is given to fn, one at a time. A volume whose passphrase was made after
 * `before` (0: never) is left as it is. *ret_failed: how many failed. A
 * non-zero result of fn stops and is returned. A thread that cannot be started is an error, and nothing has begun.
 */
int volume_rotate_many(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes, size_t n,
		       const struct volume_rotate *p, int64_t before, unsigned jobs, volume_rotation_fn fn, void *ctx,
		       size_t *ret_failed, struct error *e);

#endif
