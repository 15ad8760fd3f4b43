/* kvmcrypt keystore add-slot: one more way to unseal. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/new_slot.h"
#include "cmd/person.h"

#include <errno.h>

struct add_options {
	struct new_slot_options slot; /* first: its entries have offsets of their own */
};

static const struct option_spec options[] = {
	NEW_SLOT_CREDENTIAL,
	NEW_SLOT_FIDO2,
	NEW_SLOT_KEYS,
	NEW_SLOT_TRUST,
	{ 0 },
};

static int output(struct context *ctx, struct keystore *ks, int number, struct error *e)
{
	struct slot *all = NULL;
	const struct slot *slot = NULL;
	size_t n = 0;
	int r = keystore_slot_find(ks, number, &all, &n, &slot, e);
	if (r < 0)
		return r;
	r = keystore_output_slot(ctx, slot);
	slots_free(all, n);
	return r;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct add_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTONEWSLOTS struct new_slots slots = { .n = 0 };
	int slot = -1;
	(void)operands, (void)n;
	if (new_slots_count(&o->slot) > 1)
		return error_set(e, ERROR_USAGE, EINVAL, "one slot at a time: give one way to unseal");
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0 || (r = new_slots_gather(ctx, &o->slot, &slots, e)) < 0 ||
	    (r = keystore_add_slot(ks, &slots.creds[0], &slot, e)) < 0)
		return r;
	slots.keep = true;
	if ((r = new_slots_show(&slots, e)) < 0)
		return r;
	say(ctx, "added slot %d (%s)", slot, slot_type_name(slots.creds[0].type));
	return ctx->json ? output(ctx, ks, slot, e) : 0;
}

const struct command command_keystore_add_slot = {
	.name = "keystore add-slot",
	.group = GROUP_KEYSTORE,
	.summary = "add a way to unseal the keystore",
	.description = "Adds a passphrase (asked twice without an option), a key file, a generated recovery "
		       "key, a TPM, Tang servers or a security token to the seal, and proves it by opening "
		       "before the seal is replaced. The keystore must be unsealed.",
	.options = options,
	.options_size = sizeof(struct add_options),
	.run = run,
};
