/* Unsealing: from the seal to the root key, by a person or without one. */
#include "keystore/internal.h"

#include "keystore/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/*
 * The root key that a slot of this seal gave. What the seal says besides is checked under it before anything else is
 * done: who can write the file could otherwise bring back a removed slot, or have the next root key sealed to himself.
 */
static int take(struct keystore *ks, const struct seal *seal, struct secret **root, struct error *e)
{
	int r = keystore_take_root(ks, root, e);
	if (r < 0 || ks->tolerant || (r = keystore_check_seal(ks, seal, e)) == 0)
		return r;
	keystore_drop_root(ks);
	return r;
}

void keystore_tolerate(struct keystore *ks)
{
	ks->tolerant = true;
}

int keystore_unseal_with(struct keystore *ks, const struct credential *c, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOSECRET struct secret *root = NULL;
	int r = keystore_load_seal(ks, &seal, e);
	if (r < 0 || (r = seal_unlock(seal, c, &root, e)) < 0)
		return r;
	return take(ks, seal, &root, e);
}

int keystore_unseal(struct keystore *ks, const struct secret *key, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOSECRET struct secret *root = NULL;
	int r = keystore_load_seal(ks, &seal, e);
	if (r < 0)
		return r;
	/* Cheap ones first: a slot for 256 random bits costs milliseconds, Argon2id half a second. */
	const struct credential ways[] = {
		{ .type = SLOT_RECOVERY, .key = key },
		{ .type = SLOT_KEY_FILE, .key = key->len >= ROOT_KEY_LEN ? key : NULL },
		{ .type = SLOT_PASSPHRASE, .key = key },
	};
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (!ways[i].key)
			continue;
		r = seal_unlock(seal, &ways[i], &root, e);
		if (r == 0)
			return take(ks, seal, &root, e);
		if (r != -EKEYREJECTED)
			return r;
	}
	return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "this passphrase or key does not open the keystore");
}

int keystore_unseal_slot(struct keystore *ks, int number, const struct secret *key, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOSECRET struct secret *root = NULL;
	struct slot *slots = NULL;
	size_t n = 0, i = 0;
	int r = keystore_load_seal(ks, &seal, e);
	if (r < 0 || (r = seal_slots(seal, &slots, &n, e)) < 0)
		return r;
	while (i < n && slots[i].slot != number)
		i++;
	if (i == n)
		r = error_set(e, ERROR_NOT_FOUND, ENOENT, "the seal has no slot %d (see `kvmcrypt keystore status`)",
			      number);
	else
		r = seal_unlock_slot(seal, &slots[i], key, &root, e);
	slots_free(slots, n);
	return r < 0 ? r : take(ks, seal, &root, e);
}

/* ---- without a person ---- */

/* The ways that failed, each with its reason; told when it is clear how it ended. */
struct tries {
	char *lines[64];
	size_t n;
	bool no_memory;
	bool tolerant;
	struct error stop;	/* damage, which is not for trying further */
};

static void tries_clear(struct tries *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->lines[i]);
}

static void failed(struct tries *t, const char *way, const struct error *why)
{
	/* It opened: another way would meet the same. */
	if (why->kind == ERROR_DAMAGED && !t->stop.kind && !t->tolerant)
		t->stop = *why;
	t->no_memory = t->no_memory || why->err == ENOMEM;
	if (t->n < ARRAY_LEN(t->lines) &&
	    asprintf(&t->lines[t->n], "%s%s%s", way, *way ? ": " : "", why->message) >= 0)
		t->n++;
}

static int from_keyring(struct keystore *ks, struct tries *t)
{
	AUTOSECRET struct secret *root = NULL;
	struct error why = { 0 };
	int r = cache_get(ks->root_id, &root, &why);
	if (r == 0)
		r = keystore_take_root(ks, &root, &why);
	/* That it is not in the keyring is the usual case and explains nothing. */
	if (r < 0 && r != -ENOKEY)
		failed(t, "", &why);
	return r;
}

/* What systemd gives the unit with LoadCredential= (systemd.exec(5), "Credentials"). */
static int from_credential(struct keystore *ks, struct tries *t)
{
	AUTOSECRET struct secret *key = NULL;
	AUTOFREE char *path = NULL;
	struct error why = { 0 };
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (!dir || dir[0] != '/' || asprintf(&path, "%s/%s", dir, KEYSTORE_CREDENTIAL) < 0)
		return -ENOENT;
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	int r = fd < 0 ? error_errno(&why, ERROR_SEALED, errno, "cannot open it")
		       : secret_read_fd(fd, SECRET_MAX - 1, false, "its content", &key, &why);
	if (r == 0)
		r = keystore_unseal(ks, key, &why);
	if (r < 0)
		failed(t, "systemd credential " KEYSTORE_CREDENTIAL, &why);
	return r;
}

static int from_slot(struct keystore *ks, const struct seal *seal, const struct slot *slot, struct tries *t)
{
	AUTOSECRET struct secret *root = NULL;
	struct error why = { 0 };
	char way[128];
	snprintf(way, sizeof(way), "slot %d (%s%s%.64s)", slot->slot, slot_type_name(slot->type),
		 slot->label ? ", " : "", slot->label ? slot->label : "");
	int r = seal_unlock_slot(seal, slot, NULL, &root, &why);
	if (r == 0)
		r = take(ks, seal, &root, &why);
	/* The name of a file says more than the number of its slot. */
	if (r < 0 && slot->path && why.kind == ERROR_BAD_KEY)
		error_prefix(&why, "key file %s", slot->path);
	if (r < 0)
		failed(t, slot->path ? "" : way, &why);
	return r;
}

static int from_slots(struct keystore *ks, struct tries *t, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	struct slot *slots = NULL;
	size_t n = 0;
	int r = keystore_load_seal(ks, &seal, e);
	if (r < 0 || (r = seal_slots(seal, &slots, &n, e)) < 0)
		return r;
	for (unsigned turn = 1, of = 0; turn < SLOT_TYPES; turn++)
		for (size_t i = 0; i < n && !ks->root && !t->stop.kind; i++)
			if (slot_works_alone(&slots[i], &of) && of == turn)
				from_slot(ks, seal, &slots[i], t);
	slots_free(slots, n);
	return 0;
}

void keystore_tell(struct keystore *ks, void (*fn)(void *ctx, bool sealed, const char *line), void *ctx)
{
	ks->tell = fn;
	ks->tell_ctx = ctx;
}

int keystore_unseal_auto(struct keystore *ks, struct error *e)
{
	CLEANUP(tries_clear) struct tries t = { .tolerant = ks->tolerant };
	int r = 0;
	if (ks->root || from_keyring(ks, &t) == 0)
		return 0;
	/* No memory for a key is no matter of sealed or not. */
	if (!t.no_memory && from_credential(ks, &t) < 0 && !t.no_memory && !t.stop.kind)
		r = from_slots(ks, &t, e);
	if (r < 0)
		return r;
	if (!ks->root && t.stop.kind)
		return error_pass(e, &t.stop);
	bool told = ks->root || t.n > 1;
	for (size_t i = 0; i < t.n && ks->tell && told; i++)
		ks->tell(ks->tell_ctx, !ks->root, t.lines[i]);
	if (ks->root)
		return 0;
	if (t.no_memory)
		return t.n ? error_set(e, ERROR_FAILED, ENOMEM, "%s", t.lines[t.n - 1]) : error_oom(e);
	r = keystore_need_root(ks, e);
	return t.n == 1 ? error_prefix(e, "%s", t.lines[0]) : r;
}
