/* kvmcrypt unseal: the root key into the kernel keyring, so that commands need not ask. */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>
#include <stdio.h>

struct unseal_options {
	const char *passphrase_file, *key_file;
	int passphrase_fd;
	uint64_t timeout;
};

#define OPT(field) offsetof(struct unseal_options, field)
static const struct option_spec options[] = {
	{ "key-file", OPTION_TEXT, OPT(key_file), "FILE", "unseal with the content of FILE", NULL, COMPLETE_FILE,
	  0 },
	OPTION_PASSPHRASE(struct unseal_options, "the passphrase or recovery key"),
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

static int with_passphrase(const struct context *ctx, struct keystore *ks,
			   const struct unseal_options *o, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	char prompt[256];
	snprintf(prompt, sizeof(prompt), "Passphrase or recovery key of keystore %.200s", keystore_path(ks));
	int r = person_passphrase(ctx, o->passphrase_file, o->passphrase_fd, prompt, false, &key, e);
	return r < 0 ? r : keystore_unseal(ks, key, e);
}

static int unseal(const struct context *ctx, struct keystore *ks, const struct unseal_options *o,
		  struct error *e)
{
	bool passphrase = o->passphrase_file || o->passphrase_fd >= 0;
	if (o->key_file && passphrase)
		return error_set(e, ERROR_USAGE, EINVAL, "give a key file or a passphrase, not both");
	if (o->key_file)
		return with_key_file(ks, o->key_file, e);
	struct error why = { 0 };
	if (!passphrase && keystore_unseal_auto(ks, &why) == 0)
		return 0;
	if (why.err == ENOMEM)
		return error_pass(e, &why);
	return with_passphrase(ctx, ks, o, e);
}

static int output(struct context *ctx, struct keystore *ks, uint64_t timeout, bool changed, struct error *e)
{
	if (!ctx->json)
		return 0;
	struct json_object *o = json_object_new_object();
	put_text(o, "path", keystore_path(ks));
	put_bool(o, "sealed", false);
	put_bool(o, "changed", changed);
	json_object_object_add(o, "timeout", timeout ? json_object_new_uint64(timeout) : NULL);
	return output_object(ctx, o, NULL, e);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct unseal_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	(void)operands, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	bool was = false;
	if ((r = keystore_is_cached(ks, &was, e)) < 0)
		return r;
	if (was && !o->timeout) {
		say(ctx, "keystore %s is unsealed already", keystore_path(ks));
		return output(ctx, ks, 0, false, e);
	}
	/* A new timeout needs no key while the old one runs. */
	r = was ? keystore_unseal_auto(ks, e) : unseal(ctx, ks, o, e);
	if (r < 0 || (!was && (r = keystore_audit(ks, "unseal", NULL, NULL, e)) < 0) ||
	    (r = keystore_cache(ks, o->timeout, e)) < 0)
		return r;
	if (o->timeout)
		say(ctx, "unsealed keystore %s for %llu seconds", keystore_path(ks), (unsigned long long)o->timeout);
	else
		say(ctx, "unsealed keystore %s until reboot or `kvmcrypt seal`", keystore_path(ks));
	return output(ctx, ks, o->timeout, true, e);
}

const struct command command_unseal = {
	.name = "unseal",
	.summary = "open the keystore for the commands that follow",
	.description = "Opens the seal with a passphrase, recovery key or key file and puts the root key into the kernel "
		       "keyring of this user. Without an option, tries the key files that the seal names, then asks. "
		       "When the keystore is unsealed already nothing is asked, and only a --timeout has effect.",
	.options = options,
	.options_size = sizeof(struct unseal_options),
	.run = run,
};
