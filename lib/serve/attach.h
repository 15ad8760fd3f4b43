/* Volumes and libvirt: disks of domains, secrets of this host. */
#ifndef LIB_SERVE_ATTACH_H
#define LIB_SERVE_ATTACH_H

#include "lib/guest/connection.h"
#include "lib/guest/coredump.h"
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
	struct guest_core core;		/* of a guest that runs here and has the disk */
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

#endif
