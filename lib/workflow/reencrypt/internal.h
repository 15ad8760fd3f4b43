/* What the ways to re-encrypt share. */
#ifndef LIB_WORKFLOW_REENCRYPT_INTERNAL_H
#define LIB_WORKFLOW_REENCRYPT_INTERNAL_H

#include "lib/volume/internal.h"
#include "lib/workflow/reencrypt/reencrypt.h"
#include "lib/workflow/workflow.h"

/* Is the file a whole container with the record's next volume key, which the passphrase opens? */
int reencrypt_prove(const struct record *r, const char *path, struct error *e);

/* reencrypt_prove(); then r takes the new key over in memory: digest, geometry, volume_key. */
int reencrypt_adopt(struct record *r, const char *path, struct error *e);

/*
 * The header of the new image in memory: next volume key, and keyslots for the passphrase that is
 * and the one that will be, so that the one needs no other change of the header than to be removed.
 */
int reencrypt_header(const struct record *r, struct luks **ret, struct error *e);

/* ERROR_FAILED/ENOSPC when the file system has no room for what the image takes on it now. */
int reencrypt_check_space(const struct record *r, struct error *e);

/*
 * copy.c: can a copy of it be made? Under the image's locks, reads all that would be refused later: nothing
 * is written. Then the copy.
 */
int reencrypt_copy_check(const struct record *r, struct error *e);
int reencrypt_copy(struct flow *f, struct error *e);

/* ---- beside.c: the new file ---- */

/* Into the record: the file at r->beside, and its inode, 0 before it is made. */
int reencrypt_note_file(struct record *r, uint64_t inode, struct error *e);
/*
 * r->beside, locked, of mode 0600 and this user's: made and noted, or, when the flow is resumed, the one that an
 * earlier run made (*ret_fresh false). owner: of the image. ERROR_REFUSED where others could put one in its place.
 */
int reencrypt_make_file(struct flow *f, uid_t owner, int *ret_fd, bool *ret_fresh, struct error *e);
/* It takes the image's name, in one step, which lasts. old: the image that has the name until then, or -1. */
int reencrypt_take_name(const struct record *r, int old, struct error *e);

enum reencrypt_way { REENCRYPT_COPY, REENCRYPT_LIVE, REENCRYPT_ONLINE };

/* The workflow's state. */
struct reencrypt_state {
	enum reencrypt_way way;
};

/* ---- online.c: in place, by libcryptsetup ---- */

bool reencrypt_is_online(const struct record *r);
/* What would be refused, before the record says anything of ours. */
int reencrypt_online_check(const struct record *r, struct error *e);
/* To the end, from wherever the header says that it is. */
int reencrypt_online(struct flow *f, struct error *e);
int reencrypt_online_judge(struct flow *f, struct error *e);
/* Before it and after it the header has no keyslot of another volume key than the data's. */
int reencrypt_online_clean(const struct record *r, struct error *e);

/* ---- live.c: the copy by the QEMU of a running guest ---- */

/* To the pivot. */
int reencrypt_live(struct flow *f, struct error *e);
/* From the pivot on: name and configuration. */
int reencrypt_live_commit(struct flow *f, struct error *e);
/* What libvirt says of an interrupted one; 0: the copy is not in use, and can go. */
int reencrypt_live_judge(struct flow *f, struct error *e);

#endif
