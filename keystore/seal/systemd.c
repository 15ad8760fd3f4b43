#include "keystore/seal/systemd.h"

#include "base/process.h"
#include "keystore/seal/token.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PIN_MAX 255

/* ---- enrolling ---- */

static void arguments_clear(struct systemd_arguments *a)
{
	for (size_t i = 0; i < SYSTEMD_ARGUMENTS_MAX; i++)
		free(a->made[i]);
}

void systemd_argument(struct systemd_arguments *a, const char *name, const char *value)
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

static void describe(const struct systemd_device *d, const struct credential *c, struct systemd_arguments *a)
{
	a->argv[a->n++] = "systemd-cryptenroll";
	systemd_argument(a, "--unlock-key-file", "/dev/fd/3");
	d->describe(c->params, a);
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
static int run_enrolment(const struct systemd_device *d, struct seal *s, const struct secret *temporary,
			 const struct credential *c, struct error *e)
{
	CLEANUP(arguments_clear) struct systemd_arguments a = { .n = 0 };
	CLEANUP(locked_file_clear) struct locked_file key = { .fd = -1 };
	bool asks = c->key && (c->params->with_pin || d->always_asks);
	int r = locked_file_make(temporary, &key, e);
	if (r < 0)
		return r;
	describe(d, c, &a);
	if (a.no_memory)
		return error_oom(e);
	const int fds[] = { key.fd, s->fd };
	const struct process p = {
		.argv = a.argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.tty_prompt = asks ? "PIN" : NULL,
		.tty_answer = c->key,
		.seconds = d->seconds,
	};
	r = process_run_checked(&p, NULL, e);
	if (d->after)
		d->after(c->params->device);
	return r;
}

static int find_new(const struct systemd_device *d, struct seal *s, const bool *before, int *ret, struct error *e)
{
	for (int i = 0; i < crypt_keyslot_max(CRYPT_LUKS2); i++)
		if (!before[i] && seal_is_active(s, i) && seal_token_find(s->cd, d->token, i) >= 0) {
			*ret = i;
			return 0;
		}
	return error_set(e, ERROR_FAILED, ENOENT, "systemd-cryptenroll made no slot with a token '%s'", d->token);
}

static int check_pin(const struct credential *c, struct error *e)
{
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

int systemd_enrol(const struct systemd_device *d, struct seal *s, const struct secret *root, const struct credential *c,
		  int *ret_slot, struct error *e)
{
	AUTOSECRET struct secret *temporary = NULL;
	bool before[64] = { false };
	int r = check_pin(c, e);
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
	if ((r = run_enrolment(d, s, temporary, c, e)) < 0 || (r = seal_reload(s, e)) < 0 ||
	    (r = find_new(d, s, before, ret_slot, e)) < 0)
		return r;
	r = crypt_keyslot_destroy(s->cd, way);
	return r < 0 ? seal_fail(s, r, "remove the temporary slot of the seal", e) : 0;
}

/* ---- opening ---- */

bool systemd_said(const char *said, const char *word)
{
	return strcasestr(said, word) != NULL;
}

/* The plug-in's errno and words as a person can use them. */
static int explain(const struct systemd_device *d, const struct slot *slot, bool with_pin, int r,
		   const struct token_words *heard, struct error *e)
{
	const char *said = heard->last;
	const char *gap = *said ? ": " : "";
	if (r == -ENOMEM)
		return error_oom(e);
	if (r == -ENOSYS)
		return error_set(e, ERROR_FAILED, ENOSYS, "systemd's plug-in of libcryptsetup for it is not installed");
	if (r == -ETIMEDOUT)
		return error_set(e, ERROR_SEALED, ETIMEDOUT, "no answer in %u seconds", d->seconds);
	if (r == -ENOANO && with_pin)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN");
	if (r == -ENOANO)
		return error_set(e, ERROR_SEALED, ENOANO, "it wants a PIN: `kvmcrypt unseal --slot %d`", slot->slot);
	/* Before what a PIN may have to do with it: the same errno comes for both. */
	int own = d->explain ? d->explain(slot, r, heard, e) : 0;
	if (own < 0)
		return own;
	if (r == -EAGAIN)
		return error_set(e, ERROR_SEALED, ENODEV, "the device is not there");
	if (with_pin && (r == -ENOTRECOVERABLE || systemd_said(said, "PIN") || systemd_said(said, "auth")))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN%s%s", gap, said);
	return error_set(e, ERROR_SEALED, r == -EPERM ? EKEYREJECTED : -r, "%s", *said ? said : strerror(-r));
}

int systemd_open(const struct systemd_device *d, const struct seal *s, const struct slot *slot,
		 const struct secret *pin, void *params, struct secret **ret, struct error *e)
{
	struct token_words said;
	struct token_plugin p = {
		.type = d->token,
		.token = seal_token_find(s->cd, d->token, slot->slot),
		.pin = pin,
		.params = params,
		.seconds = d->seconds,
	};
	if (p.token < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: slot %d has lost its token",
				 slot->slot);
	if (pin && pin->len > PIN_MAX)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "wrong PIN");
	int r = token_plugin_open(s->cd, &p, ret, &said);
	if (d->after) {
		d->after(slot->params.device);
		if (r < 0 && d->again && d->again(&said))
			r = token_plugin_open(s->cd, &p, ret, &said);
	}
	return r < 0 ? explain(d, slot, pin != NULL, r, &said, e) : 0;
}
