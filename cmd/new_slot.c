#include "cmd/new_slot.h"

#include "cmd/person.h"

#include "base/file.h"
#include "cmd/output.h"
#include "keystore/seal/tang_trust.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void new_slots_clear(struct new_slots *s)
{
	if (s->written && !s->keep)
		unlink(s->written);
	for (size_t i = 0; i < ARRAY_LEN(s->creds); i++) {
		secret_free(s->keys[i]);
		free(s->paths[i]);
		slot_params_clear(&s->params[i]);
	}
	*s = (struct new_slots){ 0 };
}

/* The next slot; what belongs to it goes into keys, paths and params of the same number. */
static struct credential *add(struct new_slots *s, enum slot_type type, const char *label)
{
	struct credential *c = &s->creds[s->n++];
	*c = (struct credential){ .type = type, .label = label };
	return c;
}

/* Argon2id makes a try cost half a second, which is not much for all words of three letters. */
#define SHORT_PASSPHRASE 8

static int add_passphrase(const struct context *ctx, const struct new_slot_options *o, struct new_slots *s,
			  struct error *e)
{
	size_t i = s->n;
	int r = person_passphrase(o->passphrase_file, o->passphrase_fd,
				  "New passphrase of the keystore", true, &s->keys[i], e);
	if (r < 0)
		return r;
	add(s, SLOT_PASSPHRASE, o->label)->key = s->keys[i];
	if (s->keys[i]->len < SHORT_PASSPHRASE)
		say(ctx,
		    "note: a passphrase of %zu characters is found by trying, by whoever has a copy of the keystore",
		    s->keys[i]->len);
	return 0;
}

/* keystore_unseal_auto() would pass over such a file: better said now than at the next boot. */
static int check_mode(const char *path, struct error *e)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "key file %s", path);
	if (!S_ISREG(st.st_mode) || !strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/fd/", 8))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "key file %s is no file that later commands would find there: give a regular "
				 "file, or use --credential",
				 path);
	if (st.st_uid != geteuid())
		return error_set(e, ERROR_REFUSED, EPERM,
				 "key file %s belongs to user %u, not to you; run `chown %u %s`", path,
				 (unsigned)st.st_uid, (unsigned)geteuid(), path);
	if (st.st_mode & (S_IROTH | S_IWOTH))
		return error_set(e, ERROR_REFUSED, EPERM,
				 "key file %s can be read or written by everyone; run `chmod 600 %s`", path, path);
	return 0;
}

/* remembered: commands will look for the file there by themselves. */
static int add_file(const char *file, bool remembered, const char *label, struct new_slots *s, struct error *e)
{
	size_t i = s->n;
	int r = file_canonical(file, &s->paths[i], e);
	if (r == 0 && remembered)
		r = check_mode(s->paths[i], e);
	if (r == 0)
		r = person_key_file(s->paths[i], &s->keys[i], e);
	if (r < 0)
		return r;
	struct credential *c = add(s, SLOT_KEY_FILE, label);
	c->key = s->keys[i];
	c->path = remembered ? s->paths[i] : NULL;
	return 0;
}

static int add_recovery(const struct context *ctx, const struct new_slot_options *o,
			struct new_slots *s, struct error *e)
{
	size_t i = s->n;
	bool to_stdout = !strcmp(o->recovery_key, "-");
	if (to_stdout && ctx->json)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "a recovery key is never part of JSON: give --recovery-key a file");
	int r = keystore_generate_recovery(&s->keys[i], e);
	if (r < 0)
		return r;
	add(s, SLOT_RECOVERY, o->label)->key = s->keys[i];
	if (to_stdout) {
		s->recovery = s->keys[i];
		return 0;
	}
	r = person_write_recovery(s->keys[i], o->recovery_key, e);
	if (r == 0)
		s->written = o->recovery_key;
	return r;
}

/* ---- devices and servers ---- */

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static struct credential *add_device(struct new_slots *s, enum slot_type type, const char *device, const char *label)
{
	struct slot_params *p = &s->params[s->n];
	struct credential *c = add(s, type, label);
	p->device = copy(device);
	c->params = p;
	return c;
}

static int read_pin(const struct new_slot_options *o, struct new_slots *s, bool new_one,
		    const char *prompt, struct error *e)
{
	size_t i = s->n - 1;
	s->params[i].with_pin = true;
	int r = slot_check(s->creds[i].type, NULL, &s->params[i], e);
	if (r < 0)
		return r;
	r = person_pin(o->pin_file, o->pin_fd, prompt, new_one, &s->keys[i], e);
	s->creds[i].key = s->keys[i];
	return r;
}

static int absolute(const char *file, char **ret, struct error *e)
{
	return file ? file_canonical(file, ret, e) : 0;
}

static int add_tpm2(const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	add_device(s, SLOT_TPM2, o->tpm2, o->label);
	struct slot_params *p = &s->params[s->n - 1];
	p->pcrs = copy(o->tpm2_pcrs);
	p->public_key_pcrs = copy(o->tpm2_public_key_pcrs);
	int r = absolute(o->tpm2_public_key, &p->public_key, e);
	if (r == 0)
		r = absolute(o->tpm2_signature, &p->signature, e);
	if (r == 0)
		r = absolute(o->tpm2_pcrlock, &p->pcrlock, e);
	if (r == 0 && o->tpm2_with_pin)
		r = read_pin(o, s, true, "New PIN for the TPM", e);
	return r;
}

/* Asks each server for the key that it signs with, and the person whether that is the right one. */
static int ask_trust(const struct context *ctx, const struct new_slot_options *o, char **ret, struct error *e)
{
	char list[2048] = "", question[1200];
	for (const char *at = o->tang; *at;) {
		AUTOFREE char *url = strndup(at, strcspn(at, ","));
		AUTOFREE char *thumbprint = NULL;
		int r = url ? tang_thumbprint(url, &thumbprint, e) : error_oom(e);
		if (r < 0)
			return r;
		snprintf(question, sizeof(question), "Tang server %.800s signs with the key %s. Trust it?", url,
			 thumbprint);
		if (o->trust)
			say(ctx, "trusting the key %s of Tang server %s", thumbprint, url);
		else if ((r = person_confirm(false, question, e)) < 0)
			return r;
		size_t len = strlen(list);
		if (snprintf(list + len, sizeof(list) - len, "%s%s", len ? "," : "", thumbprint) >=
		    (int)(sizeof(list) - len))
			return error_set(e, ERROR_USAGE, E2BIG, "too many Tang servers");
		at += strcspn(at, ",");
		at += *at == ',';
	}
	*ret = strdup(list);
	return *ret ? 0 : error_oom(e);
}

static int add_tang(const struct context *ctx, const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	struct slot_params *p = &s->params[s->n];
	add_device(s, SLOT_TANG, NULL, o->label);
	p->servers = copy(o->tang);
	p->threshold = o->tang_threshold < UINT_MAX ? (unsigned)o->tang_threshold : UINT_MAX;
	if (!o->tang_thumbprint)
		return ask_trust(ctx, o, &p->thumbprints, e);
	p->thumbprints = copy(o->tang_thumbprint);
	return 0;
}

static int add_pkcs11(const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	add_device(s, SLOT_PKCS11, o->pkcs11, o->label);
	return read_pin(o, s, false, "PIN of the PKCS#11 token", e);
}

static int add_fido2(const struct context *ctx, const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	add_device(s, SLOT_FIDO2, o->fido2, o->label);
	say(ctx, "touch the FIDO2 token when it blinks");
	return o->fido2_with_pin ? read_pin(o, s, false, "PIN of the FIDO2 token", e) : 0;
}

/* A text that was not copied for want of memory would leave the slot with a default. */
static bool all_copied(const struct new_slot_options *o, const struct new_slots *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct slot_params *p = &s->params[i];
		if (s->creds[i].type == SLOT_TPM2 &&
		    (!p->device || (o->tpm2_pcrs && !p->pcrs) || (o->tpm2_public_key_pcrs && !p->public_key_pcrs)))
			return false;
		if (s->creds[i].type == SLOT_TANG && (!p->servers || !p->thumbprints))
			return false;
		if ((s->creds[i].type == SLOT_PKCS11 || s->creds[i].type == SLOT_FIDO2) && !p->device)
			return false;
	}
	return true;
}

/* ---- all of them ---- */

static bool wants_passphrase(const struct new_slot_options *o)
{
	return o->passphrase_file || o->passphrase_fd >= 0;
}

size_t new_slots_count(const struct new_slot_options *o)
{
	return (size_t)wants_passphrase(o) + !!o->key_file + !!o->credential + !!o->recovery_key + !!o->tpm2 +
	       !!o->tang + !!o->pkcs11 + !!o->fido2;
}

/* An option that says more of a way to unseal which is not asked for would be lost silently. */
static int check_options(const struct new_slot_options *o, struct error *e)
{
	const struct {
		bool given;
		const char *option, *needs;
		bool has;
	} rules[] = {
		{ o->tpm2_pcrs || o->tpm2_with_pin, "--tpm2-pcrs or --tpm2-with-pin", "--tpm2", o->tpm2 },
		{ o->tpm2_public_key || o->tpm2_pcrlock, "--tpm2-public-key or --tpm2-pcrlock", "--tpm2", o->tpm2 },
		{ o->tpm2_public_key_pcrs || o->tpm2_signature, "--tpm2-public-key-pcrs or --tpm2-signature",
		  "--tpm2-public-key", o->tpm2_public_key },
		{ o->tang_thumbprint || o->tang_threshold, "--tang-thumbprint or --tang-threshold", "--tang", o->tang },
		{ o->fido2_with_pin, "--fido2-with-pin", "--fido2", o->fido2 },
		{ o->pin_file || o->pin_fd >= 0, "--pin-file or --pin-fd",
		  "--tpm2-with-pin, --pkcs11 or --fido2-with-pin", o->tpm2_with_pin || o->pkcs11 || o->fido2_with_pin },
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].given && !rules[i].has)
			return error_set(e, ERROR_USAGE, EINVAL, "%s goes with %s", rules[i].option, rules[i].needs);
	return 0;
}

int new_slots_gather(const struct context *ctx, const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	int r = check_options(o, e);
	if (r == 0 && (wants_passphrase(o) || !new_slots_count(o)))
		r = add_passphrase(ctx, o, s, e);
	if (r == 0 && o->key_file)
		r = add_file(o->key_file, true, o->label, s, e);
	if (r == 0 && o->credential)
		r = add_file(o->credential, false, o->label ? o->label : "systemd credential", s, e);
	if (r == 0 && o->tpm2)
		r = add_tpm2(o, s, e);
	if (r == 0 && o->tang)
		r = add_tang(ctx, o, s, e);
	if (r == 0 && o->pkcs11)
		r = add_pkcs11(o, s, e);
	if (r == 0 && o->fido2)
		r = add_fido2(ctx, o, s, e);
	/* Last, as it writes a file. */
	if (r == 0 && o->recovery_key)
		r = add_recovery(ctx, o, s, e);
	return r == 0 && !all_copied(o, s) ? error_oom(e) : r;
}

int new_slots_show(const struct new_slots *s, struct error *e)
{
	return s->recovery ? person_write_recovery(s->recovery, "-", e) : 0;
}
