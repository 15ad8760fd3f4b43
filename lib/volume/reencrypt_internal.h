/* What the ways to re-encrypt share. */
#ifndef LIB_VOLUME_REENCRYPT_INTERNAL_H
#define LIB_VOLUME_REENCRYPT_INTERNAL_H

#include "lib/volume/internal.h"
#include "lib/volume/reencrypt.h"

/*
 * Is the file a whole container with the record's next volume key, which the passphrase opens? Then
 * r takes the new key over in memory: digest, geometry, volume_key.
 */
int reencrypt_adopt(struct record *r, const char *path, struct error *e);

/* READY again, with or without the new key; the intent is gone. */
int reencrypt_end(const struct volume_env *env, struct record *r, const char *action, struct error *e);

/* Makes the copy: reencrypt_copy.c */
int reencrypt_copy(const struct volume_env *env, struct record *r, struct volume_reencrypted *ret, struct error *e);

/*
 * reencrypt_live.c: the copy by the QEMU of a running guest, to its end; r is READY after it and keeps
 * the intent as the name of a link.
 */
int reencrypt_live(const struct volume_env *env, virDomainPtr d, const char *target, struct record *r,
		   struct error *e);

/*
 * What libvirt says of an interrupted one: 1 when the guest had gone over to the copy, which is
 * finished then; 0 when the copy is not in use, and can go.
 */
int reencrypt_live_settle(const struct volume_env *env, struct guest_connection *g, struct record *r,
			  bool *ret_finished, struct error *e);

/* Removes the link that a finished one left, once no running guest is known by it. r is revealed. */
int reencrypt_drop_link(const struct volume_env *env, struct guest_connection *g, struct record *r,
			struct error *e);

#endif
