/* The LUKS header of a volume as a thing of its own: what is there, and building a lost one anew. */
#ifndef LIB_VOLUME_HEADER_H
#define LIB_VOLUME_HEADER_H

#include "lib/image/container_restore.h"
#include "lib/volume/volume.h"

enum header_condition {
	HEADER_GOOD,	/* the record's, and its passphrase opens it */
	HEADER_LOCKED,	/* the record's, but no keyslot opens with the record's passphrase */
	HEADER_FOREIGN,	/* a whole LUKS header, of another volume; without info: not one that we accept */
	HEADER_DAMAGED,	/* something of a header, which is not accepted */
	HEADER_REENCRYPTING,	/* says that the data has two volume keys just now */
	HEADER_GONE,	/* no header */
	HEADER_MISSING,	/* not even the file */
};
const char *header_condition_name(enum header_condition c);	/* "good", "locked" … */

struct header_state {
	enum header_condition condition;
	char problem[512];	/* "" when good */
	bool have_info;
	struct luks_info info;	/* of the header that is there */
};
/* Looks; writes nothing. r is revealed, or GOOD and LOCKED cannot be told apart and it is GOOD. */
int header_look(const struct record *r, struct header_state *ret, struct error *e);

struct header_restore {
	bool foreign;	/* overwrite also a whole header of another volume */
	bool dry_run;
	const char *backup;	/* new file for what is at the header's place now; or NULL */
	/* What a person was shown and said yes to; another is ERROR_BUSY. Or NULL. */
	const struct header_state *confirmed;
};
/*
 * lib/workflow/header_restore.c. Builds a new header from the sealed volume key and geometry, with one keyslot for the
 * record's passphrase, and puts it in the place of the lost one; keyslots of others that can still be read stay. A
 * header that is good is left alone (*ret_changed false), one that is whole only gets our keyslot. ERROR_REFUSED for a
 * foreign one.
 */
int volume_header_restore(const struct volume_env *env, const uuid_t volume, const struct header_restore *p,
			  struct header_state *ret_found, bool *ret_changed, struct error *e);

/*
 * A header in memory as r's geometry has it, with this volume key and one keyslot for r's passphrase;
 * at least r->geometry.header_length bytes of luks_bytes() are it. Caller frees.
 */
int header_build(const struct record *r, const struct secret *volume_key, struct luks **ret, struct error *e);

/* Where r's geometry says that the header is. */
struct container_region header_region(const struct record *r);
/* Writes it there, the bytes that name the keyslots last. */
int header_write(const struct record *r, struct luks *l, struct error *e);

#endif
