/* One key to libvirt. */
#ifndef LIB_SERVE_REGISTER_H
#define LIB_SERVE_REGISTER_H

#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

/*
 * Gives libvirt the passphrase of *r (revealed, or revealed here for `purpose`), and makes sure that what it has in
 * the end is the newest, and nothing if the volume was erased meanwhile (ERROR_NOT_FOUND). Needs no lock. ret_… may be
 * NULL.
 */
int volume_register(const struct volume_env *env, struct guest_connection *g, struct record **r,
		    const char *purpose, bool *ret_new, bool *ret_ephemeral, struct error *e);

/* Into libvirt's directory while no daemon runs. */
struct secrets_dir;
int volume_register_in(const struct volume_env *env, struct secrets_dir *dir, struct record **r, const char *purpose,
		       bool *ret_new, struct error *e);

#endif
