#include "cmd/new_slot.h"

#include "cmd/person.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void new_slots_clear(struct new_slots *s)
{
	if (s->written && !s->keep)
		unlink(s->written);
	for (size_t i = 0; i < s->n; i++)
		secret_free(s->keys[i]);
	free(s->key_path);
	*s = (struct new_slots){ 0 };
}

static void add(struct new_slots *s, enum slot_type type, struct secret *key, const char *path,
		const char *label)
{
	s->keys[s->n] = key;
	s->creds[s->n++] = (struct credential){ .type = type, .key = key, .path = path, .label = label };
}

static int add_passphrase(const struct context *ctx, const struct new_slot_options *o,
			  struct new_slots *s, struct error *e)
{
	struct secret *key = NULL;
	int r = person_passphrase(ctx, o->passphrase_file, o->passphrase_fd,
				  "New passphrase of the keystore", true, &key, e);
	if (r == 0)
		add(s, SLOT_PASSPHRASE, key, NULL, o->label);
	return r;
}

/* keystore_unseal_auto() would pass over such a file: better said now than at the next boot. */
static int check_mode(const char *path, struct error *e)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "key file %s", path);
	if (st.st_mode & (S_IROTH | S_IWOTH))
		return error_set(e, ERROR_REFUSED, EPERM,
				 "key file %s can be read or written by everyone; run `chmod 600 %s`", path, path);
	return 0;
}

static int add_key_file(const struct new_slot_options *o, struct new_slots *s, struct error *e)
{
	struct secret *key = NULL;
	int r = file_canonical(o->key_file, &s->key_path, e);
	if (r == 0)
		r = check_mode(s->key_path, e);
	if (r == 0)
		r = person_key_file(s->key_path, &key, e);
	if (r == 0)
		add(s, SLOT_KEY_FILE, key, s->key_path, o->label);
	return r;
}

static int add_recovery(const struct context *ctx, const struct new_slot_options *o,
			struct new_slots *s, struct error *e)
{
	struct secret *key = NULL;
	bool to_stdout = !strcmp(o->recovery_key, "-");
	if (to_stdout && ctx->json)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "a recovery key is never part of JSON: give --recovery-key a file");
	int r = keystore_generate_recovery(&key, e);
	if (r < 0)
		return r;
	add(s, SLOT_RECOVERY, key, NULL, o->label);
	if (to_stdout) {
		s->recovery = key;
		return 0;
	}
	r = person_write_recovery(key, o->recovery_key, e);
	if (r == 0)
		s->written = o->recovery_key;
	return r;
}

int new_slots_gather(const struct context *ctx, const struct new_slot_options *o,
		     struct new_slots *ret, struct error *e)
{
	AUTONEWSLOTS struct new_slots s = { .n = 0 };
	int r = 0;
	if (o->passphrase_file || o->passphrase_fd >= 0 || (!o->key_file && !o->recovery_key))
		r = add_passphrase(ctx, o, &s, e);
	if (r == 0 && o->key_file)
		r = add_key_file(o, &s, e);
	if (r == 0 && o->recovery_key)
		r = add_recovery(ctx, o, &s, e);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct new_slots){ 0 };
	return 0;
}

int new_slots_show(const struct new_slots *s, struct error *e)
{
	return s->recovery ? person_write_recovery(s->recovery, "-", e) : 0;
}
