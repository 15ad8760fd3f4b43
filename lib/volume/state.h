/*
 * What a volume can be in the middle of. A record has a number; here is its name and what it means for others, who
 * ask the flags and never a list of numbers. This table and lib/workflow/workflow.c's are made of the same lines: a
 * new workflow is its file and its lines here.
 */
#ifndef LIB_VOLUME_STATE_H
#define LIB_VOLUME_STATE_H

#include "base/error.h"
#include "keystore/record/record.h"

#include <stdint.h>

enum volume_state_flags {
	STATE_NO_KEY = 1,	/* no keyslot surely opens with the record's passphrase: nothing to load or rotate */
	STATE_TWO_IMAGES = 2,	/* the file beside the image may be the newer one */
	STATE_TWO_KEYS = 4,	/* a part of the data may have the next volume key already */
	STATE_USABLE = 8,	/* as good as ready: what is left to do waits for a guest */
	STATE_UNKNOWN = 16,	/* a newer kvmcrypt is at it */
};

/*
 * STATE(the record's number, shown as, flags, the workflow that finishes or undoes it); MORE: a further number of which
 * is shown what another line says.
 */
#define VOLUME_STATES(STATE, MORE)                                               \
	STATE(RECORD_CREATING, "creating", STATE_NO_KEY, create)                  \
	STATE(RECORD_IMPORTING, "importing", STATE_NO_KEY, import)                \
	STATE(RECORD_ROTATING, "rotating", 0, rotate)                             \
	MORE(RECORD_RETIRING, "rotating", 0, rotate)                              \
	STATE(RECORD_CONVERTING, "converting", STATE_TWO_IMAGES | STATE_TWO_KEYS, volume_key) \
	MORE(RECORD_PIVOTING, "converting", STATE_TWO_IMAGES | STATE_TWO_KEYS, volume_key)    \
	STATE(RECORD_ERASING, "erasing", STATE_NO_KEY, erase)                     \
	STATE(RECORD_RESIZING, "resizing", 0, resize)                             \
	MORE(RECORD_LINKED, "ready", STATE_USABLE, link)                          \
	STATE(RECORD_MOVING, "moving", 0, move)                                   \
	MORE(RECORD_MOVED_IN_PLACE, "moving", 0, move)                            \
	STATE(RECORD_KEYSLOT, "keyslot", 0, keyslot)                              \
	MORE(RECORD_REPLACING, "importing", 0, replace)                           \
	STATE(RECORD_RESTORING, "restoring", 0, header_restore)

/* All that volume_shown_state() says of known numbers, each once; ends with NULL. */
extern const char *const volume_shown_states[];
/* "ready", "creating" …; "unknown" for a number of a newer version. Static. */
const char *volume_state_name(uint32_t number);
/* What a person sees of this record: its state's name, or "moved" when another host has the volume. */
const char *volume_shown_state(const struct record *r);
/* enum volume_state_flags; 0 of a ready volume. */
unsigned volume_state_flags(uint32_t number);

/*
 * The number that counts: a record that 030c29a left READY may have a file, a passphrase or a volume key of an
 * unfinished workflow in it (the last two show only when it is revealed).
 */
uint32_t volume_state_of(const struct record *r);

/* Its passphrase was made in the future: a clock was or is wrong, and nobody knows its age. It counts as due. */
bool volume_key_from_future(const struct record *r);

/* READY, or as good as. */
bool volume_is_ready(const struct record *r);

/* ERROR_BUSY, naming `kvmcrypt recover`, unless volume_is_ready(). */
int volume_check_ready(const struct record *r, struct error *e);

#endif
