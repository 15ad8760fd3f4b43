/*
 * Changing the keyslots of a volume where that can be done now: in the file or device, under
 * QEMU's image locks, or by the QEMU that runs with it. Shared by the workflow files.
 */
#ifndef LIB_VOLUME_KEYSLOTS_H
#define LIB_VOLUME_KEYSLOTS_H

#include "lib/guest/amend.h"
#include "lib/volume/internal.h"

struct keyslots {
	const struct volume_env *env;
	const struct record *record;	/* revealed */
	struct container *container;	/* at rest or mapped: open, locked until keyslots_end() */
	virDomainPtr domain;		/* running guest: its QEMU has the image */
	struct guest_amend *amend;
	char target[32];		/* the disk's name there */
	bool planned;			/* the container has a keyslot that the disk has not yet */
};

/*
 * Finds out who can change the header and checks that it is the record's. g may be NULL. ERROR_BUSY
 * when QEMU has the image and it is not a guest that libvirt lets us reach.
 */
int keyslots_begin(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		   struct keyslots *ret, struct error *e);
void keyslots_end(struct keyslots *k);
#define AUTOKEYSLOTS CLEANUP(keyslots_end)

/* Does it open the record's volume key, as the disk is now? ERROR_BAD_KEY: no. */
int keyslots_prove(const struct keyslots *k, const struct secret *passphrase, struct error *e);

/* Which keyslot on the disk opens with it, foreign and costly ones included? *ret_slot -1: none. */
int keyslots_find(const struct record *r, const struct secret *passphrase, int *ret_slot, struct error *e);

/*
 * Makes a keyslot for `fresh`, a generated passphrase, that keyslots_add() then writes: so a record can name it, by its
 * number and mark, before the disk has it. *ret: what it will be; a QEMU that has the image chooses itself, slot -1.
 */
int keyslots_plan(struct keyslots *k, const struct secret *fresh, struct luks_keyslot *ret, struct error *e);

/*
 * Adds a keyslot for `fresh`, a generated passphrase, and proves by reading the disk again that it
 * opens the volume key. `current` opens the volume now. After an error it may be there all the same.
 */
int keyslots_add(struct keyslots *k, const struct secret *current, const struct secret *fresh, struct error *e);

/*
 * Destroys every keyslot that `gone` opens and proves that none is left. *ret_removed: how many
 * there were; may be NULL.
 */
int keyslots_remove(struct keyslots *k, const struct secret *gone, int *ret_removed, struct error *e);

/*
 * Destroys the keyslot that was planned, should it be there and `keep` not open it: where the disk lost its key
 * material it opens nothing, so that no passphrase finds it.
 */
int keyslots_remove_planned(struct keyslots *k, int slot, uint64_t mark, const struct secret *keep, struct error *e);

/* Destroys the keyslot with this number, which is in use. */
int keyslots_remove_number(struct keyslots *k, int slot, struct error *e);

#endif
