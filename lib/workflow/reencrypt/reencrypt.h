/* A new volume key: all data encrypted anew. */
#ifndef LIB_WORKFLOW_REENCRYPT_REENCRYPT_H
#define LIB_WORKFLOW_REENCRYPT_REENCRYPT_H

#include "lib/workflow/rotate.h"

/*
 * Gives the volume a new volume key and a new passphrase. The new image has a keyslot for the old
 * passphrase as well until it is in its place, so that libvirt's secret opens the old and the new
 * image alike and a guest can start at every moment.
 *
 * A file: a copy beside it, same layout, sparse as before, verified, synced, renamed into place.
 * ERROR_FAILED/ENOSPC before anything is written when it would not fit. Interrupted, it goes on
 * where it was; volume_recover() takes it back instead.
 */
int volume_reencrypt(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		     const struct volume_rotate *p, struct volume_rotated *ret, struct error *e);

#endif
