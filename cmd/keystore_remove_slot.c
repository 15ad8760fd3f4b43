/* kvmcrypt keystore remove-slot: one way less to unseal; never the last one. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/person.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct remove_options {
	bool yes;
};

static const struct option_spec options[] = { OPTION_YES(struct remove_options), { 0 } };

static int parse_slot(const char *text, int *ret, struct error *e)
{
	if (!*text || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
		return error_set(e, ERROR_USAGE, EINVAL, "'%s' is not the number of a slot", text);
	*ret = atoi(text);
	return 0;
}

static int remove_it(struct context *ctx, struct keystore *ks, const struct slot *s, bool yes,
		     struct error *e)
{
	char question[512];
	snprintf(question, sizeof(question), "Slot %d (%s%s%.200s) will not unseal the keystore any more.", s->slot,
		 slot_type_name(s->type), s->label ? ", " : "", s->label ? s->label : "");
	int r = person_confirm(yes, question, e);
	if (r < 0 || (r = keystore_remove_slot(ks, s->slot, e)) < 0)
		return r;
	say(ctx, "removed slot %d", s->slot);
	say(ctx, "Older copies of the seal (backups, snapshots) still open with it.");
	return ctx->json ? keystore_output_slot(ctx, s) : 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct remove_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct slot *all = NULL;
	const struct slot *slot = NULL;
	size_t count = 0;
	int number = -1;
	(void)n;
	int r = parse_slot(operands[0], &number, e);
	if (r < 0 || (r = person_unsealed_keystore(ctx, &ks, e)) < 0 ||
	    (r = keystore_slot_find(ks, number, &all, &count, &slot, e)) < 0)
		return r;
	r = remove_it(ctx, ks, slot, o->yes, e);
	slots_free(all, count);
	return r;
}

static const struct operand_spec operands[] = { { "SLOT", false, false, COMPLETE_NONE, NULL }, { 0 } };

const struct command command_keystore_remove_slot = {
	.name = "keystore remove-slot",
	.group = GROUP_KEYSTORE,
	.summary = "remove a way to unseal the keystore",
	.description = "Removes SLOT, a number from `kvmcrypt keystore status`, and its key material. Asks first. The "
		       "last way to unseal is never removed. The keystore must be unsealed.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct remove_options),
	.run = run,
};
