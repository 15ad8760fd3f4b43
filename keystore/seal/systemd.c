/* Slots of a TPM2, a PKCS#11 or a FIDO2 token: systemd-cryptenroll makes them, its plug-ins open them. */
#include "keystore/seal/internal.h"

#include "base/process.h"
#include "keystore/seal/token.h"
#include "keystore/seal/plugin.h"
#include "keystore/seal/tpm2.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TPM2_SECONDS 30
#define PKCS11_SECONDS 30
#define TOUCH_SECONDS 60	/* a person has to find the key and touch it, perhaps twice */
#define PIN_MAX 255
#define ARGUMENTS_MAX 12

static const char *token_type(enum slot_type t)
{
	switch (t) {
	case SLOT_TPM2:
		return "systemd-tpm2";
	case SLOT_PKCS11:
		return "systemd-pkcs11";
	default:
		return "systemd-fido2";
	}
}

static unsigned limit_of(enum slot_type t)
{
	return t == SLOT_TPM2 ? TPM2_SECONDS : t == SLOT_PKCS11 ? PKCS11_SECONDS : TOUCH_SECONDS;
}

static const char *text_or(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

/* ---- enrolling ---- */

struct arguments {
	const char *argv[ARGUMENTS_MAX + 1];
	size_t n;
	char *made[ARGUMENTS_MAX];
	bool no_memory;
};

static void arguments_clear(struct arguments *a)
{
	for (size_t i = 0; i < ARGUMENTS_MAX; i++)
		free(a->made[i]);
}

static void add(struct arguments *a, const char *name, const char *value)
{
	if (!value)
		return;
	if (asprintf(&a->made[a->n], "%s=%s", name, value) < 0) {
		a->made[a->n] = NULL;
		a->no_memory = true; /* without its option it would be another slot */
		return;
	}
	a->argv[a->n] = a->made[a->n];
	a->n++;
}

static void describe(const struct credential *c, struct arguments *a)
{
	const struct slot_params *p = c->params;
	a->argv[a->n++] = "systemd-cryptenroll";
	add(a, "--unlock-key-file", "/dev/fd/3");
	switch (c->type) {
	case SLOT_TPM2:
		add(a, "--tpm2-device", text_or(p->device, "auto"));
		add(a, "--tpm2-pcrs", text_or(p->pcrs, "7"));
		add(a, "--tpm2-public-key", p->public_key);
		if (p->public_key)
			add(a, "--tpm2-public-key-pcrs", text_or(p->public_key_pcrs, "11"));
		/* systemd searches one by itself otherwise: found or not would then decide what is made. */
		if (p->public_key)
			add(a, "--tpm2-signature", p->signature);
		add(a, "--tpm2-with-pin", p->with_pin ? "yes" : "no");
		break;
	case SLOT_PKCS11:
		add(a, "--pkcs11-token-uri", p->device);
		break;
	default:
		add(a, "--fido2-device", text_or(p->device, "auto"));
		add(a, "--fido2-with-client-pin", p->with_pin ? "yes" : "no");
		break;
	}
	a->argv[a->n++] = "/proc/self/fd/4";
	a->argv[a->n] = NULL;
}

/* systemd-cryptenroll seeks in its key file, so a pipe will not do: a file in memory that is locked there. */
struct locked_file {
	int fd;
	void *map;
	size_t len;
};

static void locked_file_clear(struct locked_file *f)
{
	if (f->map) {
		secret_wipe(f->map, f->len);
		munmap(f->map, f->len);
	}
	cleanup_close(&f->fd);
}

static int locked_file_make(const struct secret *content, struct locked_file *f, struct error *e)
{
	f->fd = memfd_create("kvmcrypt-key", MFD_CLOEXEC);
	if (f->fd < 0 || fchmod(f->fd, 0600) < 0 || ftruncate(f->fd, (off_t)content->len) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a file in memory");
	void *map = mmap(NULL, content->len, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (map == MAP_FAILED)
		return error_errno(e, ERROR_FAILED, errno, "cannot map a file in memory");
	f->map = map;
	f->len = content->len;
	if (mlock(map, f->len) < 0 || madvise(map, f->len, MADV_DONTDUMP) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot lock a file in memory");
	memcpy(map, content->data, content->len);
	return 0;
}

/*
 * Its key is the whole of what systemd-cryptenroll gets to see of the seal, and it is gone before the seal is
 * put in place.
 */
static int run_enrolment(struct seal *s, const struct secret *temporary, const struct credential *c, struct error *e)
{
	CLEANUP(arguments_clear) struct arguments a = { .n = 0 };
	CLEANUP(locked_file_clear) struct locked_file key = { .fd = -1 };
	bool asks = c->key && (c->params->with_pin || c->type == SLOT_PKCS11);
	int r = locked_file_make(temporary, &key, e);
	if (r < 0)
		return r;
	describe(c, &a);
	if (a.no_memory)
		return error_oom(e);
	const int fds[] = { key.fd, s->fd };
	const struct process p = {
		.argv = a.argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.tty_prompt = asks ? "PIN" : NULL,
		.tty_answer = c->key,
		.seconds = limit_of(c->type),
	};
	r = process_run_checked(&p, NULL, e);
	if (c->type == SLOT_TPM2)
		tpm2_flush(c->params->device);
	return r;
}

static int find_new(struct seal *s, enum slot_type t, const bool *before, int *ret, struct error *e)
{
	for (int i = 0; i < crypt_keyslot_max(CRYPT_LUKS2); i++)
		if (!before[i] && seal_is_active(s, i) && seal_token_find(s->cd, token_type(t), i) >= 0) {
			*ret = i;
			return 0;
		}
	return error_set(e, ERROR_FAILED, ENOENT, "systemd-cryptenroll made no slot of type '%s'", slot_type_name(t));
}

static int check_params(const struct credential *c, struct error *e)
{
	if (!c->params)
		return error_set(e, ERROR_USAGE, EINVAL, "a slot of type '%s' needs its device", slot_type_name(c->type));
	if (c->type == SLOT_TPM2 && !tpm2_device_fits(c->params->device))
		return error_set(e, ERROR_USAGE, EINVAL, "'%s' names no TPM: give /dev/tpmrm0, or swtpm:, mssim: or tabrmd: with "
				 "what belongs to it", c->params->device);
	/* RFC 7512, 2.4: it would be in arguments, in the seal and in the audit trail. */
	if (c->type == SLOT_PKCS11 && c->params->device && strstr(c->params->device, "pin-value"))
		return error_set(e, ERROR_USAGE, EINVAL, "a PKCS#11 URI may not hold the PIN: give it with --pin-file or --pin-fd");
	if (c->params->with_pin && !c->key)
		return error_set(e, ERROR_USAGE, EINVAL, "a PIN is missing for the new slot");
	/* What the terminal of a child would take for something else than a part of the PIN. */
	if (c->key && c->key->len > PIN_MAX)
		return error_set(e, ERROR_USAGE, EINVAL, "a PIN has at most %d characters", PIN_MAX);
	for (size_t i = 0; c->key && i < c->key->len; i++)
		if (c->key->data[i] < 0x20 || c->key->data[i] == 0x7f)
			return error_set(e, ERROR_USAGE, EINVAL, "a PIN may not hold control characters");
	return 0;
}

int seal_systemd_enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot,
		       struct error *e)
{
	AUTOSECRET struct secret *temporary = NULL;
	bool before[64] = { false };
	int r = check_params(c, e);
	if (r < 0 || (r = secret_generate_passphrase(&temporary, e)) < 0)
		return r;
	/* The highest number, so that the slots that stay are numbered as they come. */
	int way = seal_add_key(s, crypt_keyslot_max(CRYPT_LUKS2) - 1, root, temporary, true, e);
	if (way < 0)
		return way;
	/* Tried first, or opening would run the Argon2id of every passphrase slot in vain. */
	crypt_keyslot_set_priority(s->cd, way, CRYPT_SLOT_PRIORITY_PREFER);
	for (int i = 0; i < crypt_keyslot_max(CRYPT_LUKS2) && i < (int)ARRAY_LEN(before); i++)
		before[i] = seal_is_active(s, i);
	if ((r = run_enrolment(s, temporary, c, e)) < 0 || (r = seal_reload(s, e)) < 0 ||
	    (r = find_new(s, c->type, before, ret_slot, e)) < 0)
		return r;
	r = crypt_keyslot_destroy(s->cd, way);
	return r < 0 ? seal_fail(s, r, "remove the temporary slot of the seal", e) : 0;
}

/* ---- opening ---- */

/* systemd 252, systemd_tpm2_plugin_params of src/shared/tpm2-util.h; newer versions read further members. */
struct tpm2_plugin_params {
	uint32_t search_pcr_mask;	/* all bits: whichever the token has */
	const char *device;
	const char *signature_path;
	const char *later[4];
};

static bool said_has(const char *said, const char *word)
{
	return strcasestr(said, word) != NULL;
}

/* The plug-in's errno and words as a person can use them. */
static int explain(const struct slot *slot, bool with_pin, int r, const char *said, struct error *e)
{
	bool tpm = slot->type == SLOT_TPM2;
	const char *gap = *said ? ": " : "";
	if (r == -ENOMEM)
		return error_oom(e);
	if (r == -ENOSYS)
		return error_set(e, ERROR_FAILED, ENOSYS, "systemd's plug-in of libcryptsetup for it is not installed");
	if (r == -ETIMEDOUT)
		return error_set(e, ERROR_SEALED, ETIMEDOUT, "no answer in %u seconds", limit_of(slot->type));
	if (r == -ENOANO && with_pin)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN");
	if (r == -ENOANO)
		return error_set(e, ERROR_SEALED, ENOANO, "it wants a PIN: `kvmcrypt unseal --slot %d`", slot->slot);
	/* Before what a PIN may have to do with it: the same errno comes for both. */
	if (tpm && (r == -EAGAIN || said_has(said, "TCTI")))
		return error_set(e, ERROR_SEALED, ENODEV, "no TPM answers at %s%s%s: unseal another way",
				 text_or(slot->params.device, "auto"), gap, said);
	if (r == -EAGAIN)
		return error_set(e, ERROR_SEALED, ENODEV, "the device is not there");
	if (tpm && (r == -ENOLCK || said_has(said, "lockout")))
		return error_set(e, ERROR_SEALED, EBUSY,
				 "the TPM is locked after too many wrong PINs: wait, or clear it with tpm2_dictionarylockout");
	if (tpm && (r == -ENOENT || said_has(said, "policy")))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "the TPM's PCRs are not those it was sealed with (firmware or boot configuration changed?): "
				 "unseal another way, then `kvmcrypt keystore reseal`");
	if (tpm && slot->params.public_key && said_has(said, "signature"))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "%s has no signature for the TPM's present PCR values: sign them (systemd-measure(1)), or unseal another way",
				 text_or(slot->params.signature, "systemd's tpm2-pcr-signature.json"));
	if (with_pin && (r == -ENOTRECOVERABLE || said_has(said, "PIN") || said_has(said, "auth")))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN%s%s", gap, said);
	return error_set(e, ERROR_SEALED, r == -EPERM ? EKEYREJECTED : -r, "%s", *said ? said : strerror(-r));
}

int seal_systemd_open(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		      struct error *e)
{
	struct tpm2_plugin_params tpm2 = {
		.search_pcr_mask = UINT32_MAX,
		.device = slot->params.device,
		.signature_path = slot->params.signature,
	};
	char said[512];
	/* NULL is for the plug-in what "auto" is for a person. */
	if (tpm2.device && !strcmp(tpm2.device, "auto"))
		tpm2.device = NULL;
	struct token_plugin p = {
		.type = token_type(slot->type),
		.token = seal_token_find(s->cd, token_type(slot->type), slot->slot),
		.pin = pin,
		.params = slot->type == SLOT_TPM2 ? &tpm2 : NULL,
		.seconds = limit_of(slot->type),
	};
	if (p.token < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: slot %d has lost its token", slot->slot);
	if (slot->type == SLOT_TPM2 && !tpm2_device_fits(slot->params.device))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal was tampered with: '%.200s' of slot %d names no TPM",
				 slot->params.device, slot->slot);
	if (pin && pin->len > PIN_MAX)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN");
	int r = token_plugin_open(s->cd, &p, ret, said);
	if (slot->type == SLOT_TPM2) {
		tpm2_flush(slot->params.device);
		/* The sessions of others are gone now too. */
		if (r < 0 && (said_has(said, "0x00000903") || said_has(said, "out of memory for session")))
			r = token_plugin_open(s->cd, &p, ret, said);
	}
	return r < 0 ? explain(slot, pin != NULL, r, said, e) : 0;
}
