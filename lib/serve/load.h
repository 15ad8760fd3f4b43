/*
 * The keys of volumes into libvirt and out of it, without touching domains: through its daemon, or, while none runs,
 * through its directory of secrets, which then is in memory.
 */
#ifndef LIB_SERVE_LOAD_H
#define LIB_SERVE_LOAD_H

#include "lib/guest/connection.h"
#include "lib/volume/list.h"
#include "lib/volume/volume.h"

/* One volume of a load or unload, for the caller to show. error.kind NONE: done. */
struct volume_loaded {
	const struct record *record;
	bool changed, ephemeral;
	struct error error;
};
typedef int (*volume_loaded_fn)(void *ctx, const struct volume_loaded *l);

/* A guest that was to start with libvirt and waited for a key. */
struct volume_started {
	const char *domain;
	uuid_t uuid;
	bool started;		/* false in a dry run, and when it failed */
	struct error error;
};
typedef int (*volume_started_fn)(void *ctx, const struct volume_started *s);

struct volume_load {
	bool load;			/* false: unload */
	bool start;			/* then start the guests that waited */
	bool ram;			/* before the daemon starts, or after it has stopped */
	bool dry_run;
	const char *secrets_dir;	/* with ram */
	const struct volume_list *named;	/* NULL: all, or with ram those that domains of this host have */
	volume_loaded_fn loaded;
	volume_started_fn started;
	void *ctx;			/* theirs */
};

/*
 * *ret_online: libvirt's daemon is to be asked, by volume_load_online(); else there is none. With ram, a daemon that
 * runs without its directory in memory is ERROR_BUSY, and what to stop.
 */
int volume_load_where(const struct volume_load *p, bool *ret_online, struct error *e);

/*
 * One that fails is reported to p->loaded and the rest goes on, as do guests that do not start; the result is the
 * first failure. To load, the keystore is unsealed.
 */
int volume_load_online(const struct volume_env *env, struct guest_connection *g, const struct volume_load *p,
		       struct error *e);

/*
 * Into the directory of a daemon that does not run yet. Whatever fails, what others have in it is there when the
 * daemon starts, and it is in memory for the keys that come later. sealed: why the keystore could not be unsealed, or
 * NULL; the result is that error then.
 */
int volume_load_before(const struct volume_env *env, const struct volume_load *p, const struct error *sealed,
		       struct error *e);
/* Out of it again, and what others have in it back to the disk. closed: why there is no keystore, or NULL; likewise. */
int volume_unload_after(const struct volume_env *env, const struct volume_load *p, const struct error *closed,
			struct error *e);

/*
 * Starts the guests that are marked for autostart, need one of these volumes, and do not run; no others. One that
 * does not start is told of and the rest goes on; the result is the first failure.
 */
int volume_start_guests(struct guest_connection *g, const uuid_t *volumes, size_t n, bool dry_run, volume_started_fn fn,
			void *ctx, struct error *e);

#endif
