/* The end of `import --replace`: the keyslots that the given passphrase opens are destroyed. */
#ifndef LIB_WORKFLOW_REPLACE_H
#define LIB_WORKFLOW_REPLACE_H

#include "lib/volume/volume.h"

/* Notes in r->work which keyslots the passphrase opens; tries every one, which takes as long as their KDFs do. */
int replace_note(struct record *r, struct luks *luks, const struct secret *passphrase, struct error *e);

/* Destroys them of a volume that was imported before. None is fine, and noted. */
int volume_replace(const struct volume_env *env, const uuid_t volume, const struct secret *passphrase, struct error *e);

#endif
