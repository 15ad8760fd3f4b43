/* kvmcrypt init: makes the keystore with its first ways to unseal it. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/new_slot.h"
#include "cmd/person.h"

struct init_options {
	struct new_slot_options slot; /* first: its entries have offsets of their own */
	bool unseal, if_absent;
};

#define OPT(field) offsetof(struct init_options, field)
static const struct option_spec options[] = {
	NEW_SLOT_CREDENTIAL,
	NEW_SLOT_FIDO2,
	{ "if-absent", OPTION_FLAG, OPT(if_absent), NULL,
	  "succeed without a change if there is a keystore already", NULL, COMPLETE_NONE, 0 },
	NEW_SLOT_KEYS,
	{ "unseal", OPTION_FLAG, OPT(unseal), NULL,
	  "leave the keystore unsealed, as `kvmcrypt unseal` would", NULL, COMPLETE_NONE, 0 },
	NEW_SLOT_TRUST,
	{ 0 },
};

/* Before anything is asked, generated or written: is there one? */
static int find_existing(const struct context *ctx, const char *location, bool if_absent,
			 struct keystore **ret, struct error *e)
{
	struct error why = { 0 };
	int r = keystore_open(location, ret, &why);
	if (r < 0 && why.kind == ERROR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*e = why;
		return r;
	}
	/* One whose making was killed may have its pin left to do; it is there, whatever becomes of that. */
	keystore_settle(*ret, NULL);
	if (!if_absent)
		return error_set(e, ERROR_EXISTS, EEXIST, "there is a keystore at %s already",
				 keystore_path(*ret));
	say(ctx, "there is a keystore at %s already", keystore_path(*ret));
	return 0;
}

static int create(const struct context *ctx, const char *location, const struct init_options *o,
		  struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTONEWSLOTS struct new_slots slots = { .n = 0 };
	int r = new_slots_gather(ctx, &o->slot, &slots, e);
	if (r < 0 || (r = keystore_create(location, slots.creds, slots.n, &ks, e)) < 0)
		return r;
	slots.keep = true;
	if ((r = new_slots_show(&slots, e)) < 0 || (o->unseal && (r = keystore_cache(ks, 0, e)) < 0))
		return r;
	say(ctx, "made keystore %s%s", keystore_path(ks), o->unseal ? ", unsealed" : "");
	*ret = TAKE_PTR(ks);
	return 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct init_options *o = opaque;
	AUTOFREE char *location = NULL;
	AUTOKEYSTORE struct keystore *ks = NULL;
	(void)operands, (void)n;
	int r = keystore_location(ctx->keystore, &location, e);
	if (r == 0)
		r = find_existing(ctx, location, o->if_absent, &ks, e);
	if (r == 0 && !ks)
		r = create(ctx, location, o, &ks, e);
	if (r < 0 || !ctx->json)
		return r;
	return keystore_output(ctx, ks, e);
}

const struct command command_init = {
	.name = "init",
	.group = GROUP_KEYSTORE,
	.summary = "make the keystore",
	.description = "Makes the keystore and its seal. Every way given here (a passphrase, a key file, a "
		       "generated recovery key, a TPM, Tang servers, a security token) unseals it alone. "
		       "Without any, asks for a passphrase twice. The keystore is sealed afterwards, unless "
		       "--unseal is given.",
	.options = options,
	.options_size = sizeof(struct init_options),
	.run = run,
};
