/* kvmcrypt keystore reseal: a TPM's slots for the PCR values of now. */
#include "cmd/commands.h"
#include "cmd/keystore_json.h"
#include "cmd/person.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct reseal_options {
	const char *pin_file;
	int pin_fd;
	bool dry_run;
};

static const struct option_spec options[] = {
	OPTION_DRY_RUN(struct reseal_options),
	OPTION_PIN(struct reseal_options),
	{ 0 },
};

static const struct column columns[] = {
	{ "slot", "SLOT", SHOW_PLAIN },	  { "type", "TYPE", SHOW_PLAIN },     { "replaced", "IN PLACE OF", SHOW_PLAIN },
	{ "label", "LABEL", SHOW_PLAIN }, { "source", "SOURCE", SHOW_PLAIN }, { NULL, NULL, SHOW_PLAIN },
};

static bool named(const struct slot *s, char **operands, size_t n)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", s->slot);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(operands[i], number))
			return true;
	return n == 0 && s->type == SLOT_TPM2;
}

static int reseal_one(struct keystore *ks, const struct reseal_options *o,
		      const struct slot *s, struct output_list *list, struct error *e)
{
	AUTOSECRET struct secret *pin = NULL;
	struct slot now = *s;
	char prompt[96];
	int r = 0;
	snprintf(prompt, sizeof(prompt), "PIN of slot %d (%s)", s->slot, slot_type_name(s->type));
	if (s->params.with_pin && !o->dry_run)
		r = person_pin(o->pin_file, o->pin_fd, prompt, true, &pin, e);
	if (r == 0 && !o->dry_run)
		r = keystore_renew_slot(ks, s->slot, pin, &now.slot, e);
	if (r < 0)
		return error_prefix(e, "slot %d (%s)", s->slot, slot_type_name(s->type));
	struct json_object *row = keystore_slot_json(&now);
	put_number(row, "replaced", (uint64_t)s->slot);
	return output_list_add(list, row);
}

static int check_named(const struct slot *all, size_t n, char **operands, size_t n_operands, struct error *e)
{
	for (size_t i = 0; i < n_operands; i++) {
		size_t k = 0;
		while (k < n && !named(&all[k], &operands[i], 1))
			k++;
		if (k == n)
			return error_set(e, ERROR_NOT_FOUND, ENOENT,
					 "the seal has no slot %s (see `kvmcrypt keystore status`)", operands[i]);
	}
	return 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n_operands, struct error *e)
{
	const struct reseal_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct output_list *list = NULL;
	struct slot *all = NULL;
	size_t n = 0, done = 0;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0 || (r = keystore_slots(ks, &all, &n, e)) < 0)
		return r;
	r = check_named(all, n, operands, n_operands, e);
	if (r == 0)
		r = output_list_begin(ctx, "slots", columns, &list, e);
	if (r == 0) {
		for (size_t i = 0; i < n && r == 0; i++)
			if (named(&all[i], operands, n_operands) && (r = reseal_one(ks, o, &all[i], list, e)) == 0)
				done++;
		r = output_list_end(list, r, NULL, e);
	}
	if (r == 0 && done)
		say(ctx, "%s %zu slot%s", o->dry_run ? "would renew" : "renewed", done, done == 1 ? "" : "s");
	else if (r == 0)
		say(ctx, "nothing to renew: the seal has no slot of a TPM");
	slots_free(all, n);
	return r;
}

static const struct operand_spec operands[] = { { "SLOT", true, true, COMPLETE_NONE, NULL }, { 0 } };

const struct command command_keystore_reseal = {
	.name = "keystore reseal",
	.group = GROUP_KEYSTORE,
	.summary = "renew the TPM's slots for the PCR values of now",
	.description = "Makes each slot of a TPM anew with the options it was made with, for the PCR values "
		       "that the TPM has now, proves it by opening, and removes the old one. For after a "
		       "firmware update: unseal with the recovery key or another slot, then run this. With "
		       "SLOT only that one, which may also be of a Tang server or a security token.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct reseal_options),
	.run = run,
};
