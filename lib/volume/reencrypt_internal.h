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

#endif
