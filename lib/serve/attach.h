/* Volumes and libvirt: disks of domains, secrets of this host. */
#ifndef LIB_SERVE_ATTACH_H
#define LIB_SERVE_ATTACH_H

#include "lib/guest/connection.h"
#include "lib/guest/disk.h"
#include "lib/volume/volume.h"

struct volume_attach {
	const char *domain;	/* name, UUID or ID */
	const char *target;	/* NULL: next free */
	const char *bus;	/* NULL: of the target, else virtio */
	bool readonly;
	unsigned boot_order;	/* 0: none; for the configuration only */
	bool renew;		/* the disk it has already is spelled as attach does it now */
	bool adopt;		/* and gets our secret in the place of another's */
	bool only_live, only_config;	/* neither: both, as far as the domain has them */
	bool dry_run;
};

struct volume_attached {
	char domain[256];
	uuid_t domain_uuid;
	char target[32], bus[16];
	bool live, config;	/* where the disk is now (after detach: where it was) */
	bool changed;		/* false: it was so already */
	bool registered, ephemeral;	/* the secret */
};

/*
 * Registers the secrets of the volume and of every encrypted backing file, then adds the disk.
 * Nothing is half done: a failure takes back what was done. The volume's record must not be in an
 * unfinished workflow.
 */
int volume_attach(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e);

/* Removes the disk, then the secrets that no domain needs any more. p: domain, only_…, dry_run. */
int volume_detach(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e);

<<<<<<< HEAD
/* One volume of a load or unload, for the caller to show. error.kind NONE: done. */
struct volume_loaded {
	const struct record *record;
	bool changed, ephemeral;
	struct error error;
};
typedef int (*volume_loaded_fn)(void *ctx, const struct volume_loaded *l);

/*
 * Registers (load) or forgets (unload) the secrets of the volumes with these UUIDs, in batches.
 * A volume that fails is reported to fn and the rest goes on; the result is the first failure.
 */
int volume_load(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes, size_t n,
		bool dry_run, volume_loaded_fn fn, void *ctx, struct error *e);
int volume_unload(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes,
		  size_t n, bool dry_run, volume_loaded_fn fn, void *ctx, struct error *e);

/*
 * While no daemon of libvirt runs: into its directory in memory, which the caller has begun and commits
 * (dir NULL: a dry run), and what goes when the caller leaves it. path: of the directory.
 */
struct secrets_dir;
int volume_load_ram(const struct volume_env *env, struct secrets_dir *dir, const char *path, const uuid_t *volumes,
		    size_t n, volume_loaded_fn fn, void *ctx, struct error *e);
int volume_unload_ram(const struct volume_env *env, const char *path, const uuid_t *volumes, size_t n, bool dry_run,
		      volume_loaded_fn fn, void *ctx, struct error *e);

/*
 * UUIDs of all volumes that are READY; the caller frees. used_in: only those that a domain of this host has, by
 * the record or by a configuration in this directory of libvirt's; or NULL. A damaged record is left out and told of
 * in *ret_damaged: it must not keep the guests of all others from starting.
 */
int volume_all(struct keystore *ks, const char *used_in, uuid_t **ret, size_t *ret_n, struct error *ret_damaged,
	       struct error *e);

/* A guest that was to start with libvirt and waited for a key. */
struct volume_started {
	const char *domain;
	uuid_t uuid;
	bool started;		/* false in a dry run, and when it failed */
	struct error error;
};
typedef int (*volume_started_fn)(void *ctx, const struct volume_started *s);

/*
 * Starts the guests that are marked for autostart, need one of these volumes, and do not run; no others. One that
 * does not start is told of and the rest goes on; the result is the first failure.
 */
int volume_start_guests(struct guest_connection *g, const uuid_t *volumes, size_t n, bool dry_run, volume_started_fn fn,
			void *ctx, struct error *e);

=======
>>>>>>> 2f04f9c (serve: load's workflow is a library call)
#endif
