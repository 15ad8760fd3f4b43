/* What a kind of slot can; one file each. The table is SLOT_KINDS() of slot.h. */
#ifndef KEYSTORE_SEAL_KIND_H
#define KEYSTORE_SEAL_KIND_H

#include "keystore/seal/internal.h"

struct slot_kind {
	const char *name;	/* in the seal, in JSON, in messages */
	/* Without a person: when it is tried, 1 first; 0: it needs one. */
	unsigned turn;
	bool device;		/* the key is held by a device or server: params are needed, key is a PIN */
	bool by_path;		/* works alone only with a path */

	/*
	 * Is this what such a slot may be made from? ERROR_USAGE. Asked of a new one, and of each before it is opened:
	 * what the seal says reaches child programs before anything has proven who wrote it. NULL: it has neither.
	 */
	int (*check)(const char *path, const struct slot_params *p, struct error *e);
	/*
	 * The credential as it becomes a slot: *ret is *c, or has another key, which is *ret_own. NULL: as it is.
	 */
	int (*fit)(const struct credential *c, struct credential *ret, struct secret **ret_own, struct error *e);
	/* Has this key 256 random bits, which need no stretching? NULL: it comes from a person. */
	bool (*is_strong)(const struct secret *key);
	/* Adds the keyslot, with the token that an opening program wants. NULL: a keyslot for the key. */
	int (*enrol)(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot,
		     struct error *e);
	/* The passphrase of the keyslot; key may be NULL. NULL: it is the key. */
	int (*open)(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret,
		    struct error *e);
};

#define SLOT_DECLARE(number, kind) extern const struct slot_kind kind;
SLOT_KINDS(SLOT_DECLARE)
#undef SLOT_DECLARE

/* NULL for SLOT_OTHER. */
const struct slot_kind *slot_kind(enum slot_type t);
enum slot_type slot_type_of(const char *name);	/* SLOT_OTHER for a name that is none, or NULL */

/* A word that may be a part of a child's arguments: printable, without blanks, quotes and backslashes; NULL fits. */
bool slot_word_fits(const char *text);

#endif
