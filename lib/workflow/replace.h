/* The end of `import --replace`: the keyslots that the given passphrase opens are destroyed. */
#ifndef LIB_WORKFLOW_REPLACE_H
#define LIB_WORKFLOW_REPLACE_H

#include "lib/volume/volume.h"

/* Notes in r->work which keyslots the passphrase opens; tries every one, which takes as long as their KDFs do. */
int replace_note(struct record *r, struct luks *luks, const struct secret *passphrase, struct error *e);

/*
 * Destroys them of a volume that was imported before. None is fine, and noted. ERROR_REFUSED when a domain opens it
 * with another secret than the volume's, for which g (or NULL) is asked.
 */
struct guest_connection;
int volume_replace(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		   const struct secret *passphrase, struct error *e);

#endif
