/* kvmcrypt unseal: the root key into the kernel keyring, so that commands need not ask. */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct unseal_options {
	const char *expect_root, *passphrase_file, *key_file, *pin_file, *slot;
	int passphrase_fd, pin_fd;
	uint64_t timeout;
};

#define OPT(field) offsetof(struct unseal_options, field)
static const struct option_spec options[] = {
	OPTION_EXPECT_ROOT(struct unseal_options),
	{ "key-file", OPTION_TEXT, OPT(key_file), "FILE", "unseal with the content of FILE", NULL, COMPLETE_FILE,
	  0 },
	OPTION_PASSPHRASE(struct unseal_options, "the passphrase or recovery key"),
	OPTION_PIN(struct unseal_options),
	{ "slot", OPTION_TEXT, OPT(slot), "SLOT", "unseal with this slot alone (see `kvmcrypt keystore status`)", NULL,
	  COMPLETE_NONE, 0 },
	{ "timeout", OPTION_DURATION, OPT(timeout), "TIME",
	  "seal again after TIME, such as 12h (default: at reboot or `kvmcrypt seal`)", NULL, COMPLETE_NONE, 0 },
	{ 0 },
};

static int with_key_file(struct keystore *ks, const char *path, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	int r = person_key_file(path, &key, e);
	if (r < 0)
		return r;
	const struct credential c = { .type = SLOT_KEY_FILE, .key = key };
	r = keystore_unseal_with(ks, &c, e);
	return r < 0 ? error_prefix(e, "key file %s", path) : 0;
}

struct one_slot {
	struct keystore *ks;
	int slot;
};

static int opens_slot(void *context, const struct secret *key, struct error *e)
{
	const struct one_slot *s = context;
	return keystore_unseal_slot(s->ks, s->slot, key, e);
}

/* A device whose slot wants a PIN, or whatever else the slot needs. */
static int with_slot(const struct context *ctx, struct keystore *ks, const struct unseal_options *o,
		     const struct slot *s, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	char prompt[256];
	int r = 0;
	snprintf(prompt, sizeof(prompt), "%s of slot %d (%s%s%.64s)", s->type < SLOT_TPM2 ? "Passphrase" : "PIN",
		 s->slot, slot_type_name(s->type), s->label ? ", " : "", s->label ? s->label : "");
	if (s->type == SLOT_KEY_FILE) {
		if (!o->key_file && !s->path)
			return error_set(e, ERROR_USAGE, EINVAL, "slot %d needs its --key-file", s->slot);
		r = person_key_file(o->key_file ? o->key_file : s->path, &key, e);
	} else if (s->type == SLOT_PASSPHRASE || s->type == SLOT_RECOVERY) {
		struct one_slot one = { .ks = ks, .slot = s->slot };
		const struct person_key opens = { .open = opens_slot, .context = &one };
		return person_open_with(o->passphrase_file, o->passphrase_fd, prompt, &opens, &key, e);
	} else if (!s->params.with_pin && (o->pin_file || o->pin_fd >= 0)) {
		/* A TPM would count it as a wrong one. */
		return error_set(e, ERROR_USAGE, EINVAL, "slot %d has no PIN", s->slot);
	} else if (s->params.with_pin) {
		r = person_pin(o->pin_file, o->pin_fd, prompt, false, &key, e);
	}
	if (r == 0 && s->type == SLOT_FIDO2)
		say(ctx, "touch the FIDO2 token when it blinks");
	if (r == 0)
		r = keystore_unseal_slot(ks, s->slot, key, e);
	return r < 0 ? error_prefix(e, "slot %d (%s)", s->slot, slot_type_name(s->type)) : 0;
}

/* The slot that --slot names, or that --pin-file is for: the only one with a PIN. */
static int chosen_slot(const struct slot *all, size_t n, const char *name, const struct slot **ret, struct error *e)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		char number[16];
		snprintf(number, sizeof(number), "%d", all[i].slot);
		if (name ? !strcmp(name, number) : all[i].params.with_pin) {
			*ret = &all[i];
			found++;
		}
	}
	if (found == 1)
		return 0;
	if (name)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "the seal has no slot %s (see `kvmcrypt keystore status`)",
				 name);
	return error_set(e, found ? ERROR_USAGE : ERROR_NOT_FOUND, found ? EINVAL : ENOENT,
			 found ? "several slots want a PIN: choose one with --slot"
			       : "the seal has no slot that wants a PIN");
}

static int by_slot(const struct context *ctx, struct keystore *ks, const struct unseal_options *o, struct error *e)
{
	struct slot *all = NULL;
	const struct slot *slot = NULL;
	size_t n = 0;
	int r = keystore_slots(ks, &all, &n, e);
	if (r < 0)
		return r;
	r = chosen_slot(all, n, o->slot, &slot, e);
	if (r == 0)
		r = with_slot(ctx, ks, o, slot, e);
	slots_free(all, n);
	return r;
}

/* A person is there: a slot that wants a PIN, if there is just one, is asked for before a passphrase. */
static bool has_pin_slot(struct keystore *ks)
{
	struct slot *all = NULL;
	size_t n = 0, found = 0;
	if (keystore_slots(ks, &all, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		found += all[i].params.with_pin;
	slots_free(all, n);
	return found == 1;
}

static int unseal(const struct context *ctx, struct keystore *ks, const struct unseal_options *o, bool *ret_person,
		  struct error *e)
{
	bool passphrase = o->passphrase_file || o->passphrase_fd >= 0, pin = o->pin_file || o->pin_fd >= 0;
	if ((o->key_file != NULL) + passphrase + pin > 1)
		return error_set(e, ERROR_USAGE, EINVAL, "give a key file, a passphrase or a PIN, not both");
	if (o->slot || pin)
		return by_slot(ctx, ks, o, e);
	if (o->key_file)
		return with_key_file(ks, o->key_file, e);
	struct error why = { 0 };
	if (!passphrase && keystore_unseal_auto(ks, &why) == 0)
		return 0;
	/* No way to unseal was tried and failed; the machine or the seal is at fault. */
	if (why.kind && why.kind != ERROR_SEALED && why.kind != ERROR_BAD_KEY)
		return error_pass(e, &why);
	/* What did not work by itself is worth knowing for who is about to type. */
	if (!passphrase && why.message[0])
		say_more(ctx, "%s", why.message);
	if (!passphrase && has_pin_slot(ks) && isatty(STDIN_FILENO)) {
		struct error pin_error = { 0 };
		*ret_person = true;
		if (by_slot(ctx, ks, o, &pin_error) == 0)
			return 0;
		say(ctx, "%s", pin_error.message);
	}
	AUTOSECRET struct secret *key = NULL;
	*ret_person = true;
	return person_unseal(ks, o->passphrase_file, o->passphrase_fd, &key, e);
}

/* A secret, or its root key's ID, says that the keystore is the one that is meant: noted where nobody else writes. */
static void pin(const struct context *ctx, struct keystore *ks, bool proven)
{
	struct error why = { 0 };
	if (proven && keystore_pin(ks, &why) < 0)
		say(ctx, "note: the root key is not pinned: %s", why.message);
	else
		person_note_pin(ctx, ks);
}

static int output(struct context *ctx, struct keystore *ks, uint64_t timeout, bool changed)
{
	if (!ctx->json)
		return 0;
	struct json_object *o = json_object_new_object();
	put_text(o, "path", keystore_path(ks));
	put_bool(o, "sealed", false);
	put_bool(o, "changed", changed);
	json_object_object_add(o, "timeout", timeout ? json_object_new_uint64(timeout) : NULL);
	return output_object(ctx, o, NULL);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct unseal_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	(void)operands, (void)n;
	int r = person_open_expecting(ctx, o->expect_root, &ks, e);
	if (r < 0)
		return r;
	bool was = false;
	if ((r = keystore_is_cached(ks, &was, e)) < 0)
		return r;
	/* What a person gives is tried in any case: "unsealed already" would not tell whether it is his keystore. */
	bool secret = o->passphrase_file || o->passphrase_fd >= 0 || o->key_file || o->pin_file || o->pin_fd >= 0;
	bool given = secret || o->slot;
	if (was && !given && !o->timeout && !o->expect_root) {
		say(ctx, "keystore %s is unsealed already", keystore_path(ks));
		return output(ctx, ks, 0, false);
	}
	/* A new timeout needs no key while the old one runs. */
	bool person = secret; /* with --slot alone the seal itself may say where the key is */
	r = was && !given ? keystore_unseal_auto(ks, e) : unseal(ctx, ks, o, &person, e);
	if (r == 0)
		pin(ctx, ks, person || o->expect_root);
	if (r == 0 && was && !o->timeout) {
		say(ctx, "keystore %s is unsealed already", keystore_path(ks));
		return output(ctx, ks, 0, false);
	}
	if (r < 0 || (!was && (r = keystore_audit(ks, "unseal", NULL, NULL, e)) < 0) ||
	    (r = keystore_cache(ks, o->timeout, e)) < 0)
		return r;
	char time[32];
	if (o->timeout)
		say(ctx, "unsealed keystore %s for %s", keystore_path(ks),
		    text_duration(o->timeout, time, sizeof(time)));
	else
		say(ctx, "unsealed keystore %s until reboot or `kvmcrypt seal`", keystore_path(ks));
	return output(ctx, ks, o->timeout, true);
}

const struct command command_unseal = {
	.name = "unseal",
	.group = GROUP_KEYSTORE,
	.summary = "open the keystore for the commands that follow",
	.description = "Opens the seal with a passphrase, recovery key, key file, TPM, Tang servers or a "
		       "security token and puts the root key into the kernel keyring of this user. Without an "
		       "option, tries what works without a person, then asks for the PIN or the passphrase. "
		       "When the keystore is unsealed already nothing is asked, what is given is tried all the "
		       "same, and only a --timeout has effect.",
	.options = options,
	.options_size = sizeof(struct unseal_options),
	.run = run,
};
