/*
 * Keyslots of a LUKS1 image that a running QEMU has open: `x-blockdev-amend` (QEMU's
 * qapi/block-core.json, BlockdevAmendOptions). QEMU holds the header in memory, so nobody else may
 * write it. Keys cross the monitor encrypted under the domain's own master key, as libvirt does.
 */
#ifndef LIB_GUEST_AMEND_H
#define LIB_GUEST_AMEND_H

#include "base/secret.h"
#include "lib/guest/connection.h"

#include <uuid/uuid.h>

struct guest_amend;

/*
 * The disk with this target name of a running domain, which is this volume; the caller holds the volume's lock until
 * guest_amend_end(). What an interrupted one left in QEMU is swept. ERROR_REFUSED when the domain's master key
 * cannot be read (another host, no root), as the new key would have to cross the monitor in clear.
 */
int guest_amend_begin(struct guest_connection *g, virDomainPtr d, const char *target, const uuid_t volume,
		      struct guest_amend **ret, struct error *e);
void guest_amend_end(struct guest_amend *a);	/* NULL is fine */

/*
 * Adds a keyslot. current: a passphrase that opens the image now. QEMU measures how fast this
 * machine derives keys, which at times fails: tried a few times, note() tells of each. The guest
 * stands still for about a second.
 */
int guest_amend_add(struct guest_amend *a, const struct secret *current, const struct secret *fresh,
		    void (*note)(void *context, const char *text), void *note_context, struct error *e);

/* Destroys a keyslot by its number, which costs no key derivation. */
int guest_amend_remove(struct guest_amend *a, int slot, struct error *e);

#endif
