/* kvmcrypt keystore rekey: a new root key. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/new_slot.h"
#include "cmd/person.h"

#include "base/text.h"
#include "lib/volume/volume.h"

#include <stdio.h>

struct rekey_options {
	struct new_slot_options slot; /* first: its entries have offsets of their own */
	bool drop_others;
};

#define OPT(field) offsetof(struct rekey_options, field)
static const struct option_spec options[] = {
	NEW_SLOT_CREDENTIAL,
	{ "drop-others", OPTION_FLAG, OPT(drop_others), NULL,
	  "lose the ways to unseal that are neither given here nor work without a person", NULL, COMPLETE_NONE, 0 },
	NEW_SLOT_FIDO2,
	NEW_SLOT_KEYS,
	{ "yes", OPTION_FLAG, NEW_SLOT_OPT(trust), NULL,
	  "carry slots over, and trust the Tang servers' keys, without asking", NULL, COMPLETE_NONE, 'y' },
	{ 0 },
};

/* Whoever could write the seal could have had a way of his own carried over. */
static int confirm(const struct context *ctx, const char *carried, bool yes, struct error *e)
{
	AUTOFREE char *question = NULL;
	if (!*carried)
		return 0;
	if (yes)
		say(ctx, "carried over: %s", carried);
	if (asprintf(&question, "These unseal the new root key without being given again: %s.", carried) < 0)
		return error_oom(e);
	text_make_printable(question);
	return person_confirm(yes, question, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct rekey_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTONEWSLOTS struct new_slots slots = { .n = 0 };
	AUTOFREE char *carried = NULL;
	AUTOCLOSE int lock = -1;
	bool was_cached = false, cached = false;
	(void)operands, (void)n;
	int r = person_unsealed_keystore(ctx, &ks, e);
	/* None given: what works without a person may be enough, and the library says if not. */
	if (r == 0 && new_slots_count(&o->slot))
		r = new_slots_gather(ctx, &o->slot, &slots, e);
	if (r == 0)
		r = keystore_rekey_carries(ks, slots.creds, slots.n, o->drop_others, &carried, e);
	if (r == 0)
		r = confirm(ctx, carried, o->slot.trust, e);
	/* A workflow in its middle could not store its end any more. */
	if (r < 0 || (r = volume_lock_all(ks, &lock, e)) < 0 || (r = keystore_is_cached(ks, &was_cached, e)) < 0 ||
	    (r = keystore_rekey(ks, slots.creds, slots.n, o->drop_others, carried, &ctx->progress, e)) < 0)
		return r;
	slots.keep = true;
	if ((r = new_slots_show(&slots, e)) < 0 || (r = keystore_is_cached(ks, &cached, e)) < 0)
		return r;
	say(ctx, "keystore %s has a new root key; the old seal and root key are destroyed", keystore_path(ks));
	say(ctx, "Older copies (backups, snapshots) still open with the old ways to unseal.");
	if (was_cached && !cached)
		say(ctx, "It is sealed now, as it was unsealed for a limited time only.");
	return ctx->json ? keystore_output(ctx, ks, e) : 0;
}

const struct command command_keystore_rekey = {
	.name = "keystore rekey",
	.group = GROUP_KEYSTORE,
	.summary = "give the keystore a new root key",
	.description = "Makes a new root key and a new seal, seals every record anew and destroys the old "
		       "seal. Slots that work without a person (key files, TPM, Tang servers) are named and, "
		       "after a yes, carried over; give a passphrase, PIN or --recovery-key as for init, since "
		       "what opened the old "
		       "slots is not stored anywhere. Interrupted at any point it is done as a whole or not at "
		       "all.",
	.options = options,
	.options_size = sizeof(struct rekey_options),
	.run = run,
};
