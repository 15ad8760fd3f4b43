/* The slots of a seal: what opens them, adding and removing. */
#include "keystore/seal/kind.h"

#include "keystore/seal/token.h"

#include <string.h>

#define KEYSLOT_CIPHER "aes-xts-plain64"
#define KEYSLOT_KEY_LEN 64

/*
 * From a person. Fixed, not benchmarked: the benchmark takes seconds and its result varies with
 * the load. About 0.5 s on a machine of 2020; libcryptsetup uses fewer threads where there are
 * fewer processors.
 */
static const struct crypt_pbkdf_type pbkdf_weak = {
	.type = CRYPT_KDF_ARGON2ID,
	.hash = "sha256",
	.iterations = 4,
	.max_memory_kb = 256 * 1024,
	.parallel_threads = 2,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

const struct crypt_pbkdf_type seal_pbkdf_strong = {
	.type = CRYPT_KDF_PBKDF2,
	.hash = "sha256",
	.iterations = 1000,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

static bool is_strong(const struct credential *c)
{
	const struct slot_kind *k = slot_kind(c->type);
	return k->is_strong && k->is_strong(c->key);
}

bool seal_is_active(const struct seal *s, int slot)
{
	crypt_keyslot_info i = crypt_keyslot_status(s->cd, slot);
	return i == CRYPT_SLOT_ACTIVE || i == CRYPT_SLOT_ACTIVE_LAST;
}

int seal_slots(const struct seal *s, struct slot **ret, size_t *ret_n, struct error *e)
{
	int max = crypt_keyslot_max(CRYPT_LUKS2);
	size_t n = 0;
	struct slot *slots = calloc((size_t)max, sizeof(*slots));
	if (!slots)
		return error_oom(e);
	for (int i = 0; i < max; i++) {
		if (!seal_is_active(s, i))
			continue;
		int r = seal_token_read(s->cd, i, &slots[n], e);
		if (r < 0) {
			slots_free(slots, n);
			return r;
		}
		n++;
	}
	*ret = slots;
	*ret_n = n;
	return 0;
}

/* ---- opening ---- */

/*
 * A keyslot with a null cipher opens with any passphrase and yields a key its author chose
 * (CVE-2025-59054 and kin); libcryptsetup 2.6 does not mind. Ours are always AES.
 */
static int check_cipher(const struct seal *s, int slot, struct error *e)
{
	size_t key_len = 0;
	const char *cipher = crypt_keyslot_get_encryption(s->cd, slot, &key_len);
	if (!cipher || strcmp(cipher, KEYSLOT_CIPHER) || key_len < 32)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal was tampered with: slot %d has cipher '%s'", slot,
				 cipher ? cipher : "none");
	return 0;
}

static bool fits(const struct seal *s, const struct slot *slot, const struct credential *c)
{
	struct crypt_pbkdf_type p;
	if (slot->type != c->type || (c->path && (!slot->path || strcmp(slot->path, c->path))))
		return false;
	if (!slot_kind(c->type)->is_strong || crypt_keyslot_get_pbkdf(s->cd, slot->slot, &p) < 0)
		return true;
	/* Its slot was made with the function for its length: don't run Argon2 in vain. */
	return is_strong(c) == !strcmp(p.type, CRYPT_KDF_PBKDF2);
}

int seal_try_slot(const struct seal *s, int slot, const struct secret *key, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	int r = check_cipher(s, slot, e);
	if (r < 0 || (r = secret_new(ROOT_KEY_LEN, &root, e)) < 0)
		return r;
	size_t len = root->len;
	((struct seal *)s)->log[0] = 0;
	r = crypt_volume_key_get(s->cd, slot, (char *)root->data, &len, (const char *)key->data, key->len);
	if (r == -EPERM)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "no slot of the seal opens with this key");
	if (r < 0)
		return seal_fail(s, r, "open a slot of the seal", e);
	*ret = TAKE_PTR(root);
	return 0;
}

/* The key that a slot gave, if it is the one that the seal is named after. */
static int take_root(const struct seal *s, struct secret **root, struct secret **ret, struct error *e)
{
	uuid_t id, want;
	int r = kdf_root_id(*root, id, e);
	if (r < 0 || (r = seal_root_id(s, want, e)) < 0)
		return r;
	if (uuid_compare(id, want))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal was tampered with: its UUID is not that of its key");
	*ret = TAKE_PTR(*root);
	return 0;
}

/* What opens the keyslot, where that is something else than the key; else *ret stays NULL. */
static int passphrase_of(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret,
			 struct error *e)
{
	const struct slot_kind *k = slot_kind(slot->type);
	int r = slot_check(slot->type, slot->path, &slot->params, e);
	if (r < 0) {
		if (e && e->kind == ERROR_USAGE)
			e->kind = ERROR_DAMAGED;
		return error_prefix(e, "the seal was tampered with: slot %d", slot->slot);
	}
	if (k->open)
		return k->open(s, slot, key, ret, e);
	return key ? 0 : error_set(e, ERROR_USAGE, EINVAL, "slot %d needs its %s", slot->slot, k->name);
}

int seal_unlock(const struct seal *s, const struct credential *c, struct secret **ret_root,
		struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	struct slot *slots = NULL;
	size_t n = 0;
	int r = seal_slots(s, &slots, &n, e), found = 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !root; i++) {
		AUTOSECRET struct secret *passphrase = NULL;
		if (!fits(s, &slots[i], c))
			continue;
		found = 1;
		if ((r = passphrase_of(s, &slots[i], c->key, &passphrase, e)) == 0)
			r = seal_try_slot(s, slots[i].slot, passphrase ? passphrase : c->key, &root, e);
		if (r < 0 && r != -EKEYREJECTED)
			break;
	}
	slots_free(slots, n);
	if (!found)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED, "the seal has no slot of type '%s' for this key",
				 slot_type_name(c->type));
	if (!root)
		return r;
	return take_root(s, &root, ret_root, e);
}

int seal_unlock_slot(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret_root,
		     struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	AUTOSECRET struct secret *passphrase = NULL;
	int r = 0;
	if (slot->type == SLOT_OTHER)
		return error_set(e, ERROR_REFUSED, EOPNOTSUPP, "slot %d was made by another program", slot->slot);
	/* What a token in the seal says is acted on only when its keyslot may be used at all. */
	if ((r = check_cipher(s, slot->slot, e)) < 0)
		return r;
	if ((r = passphrase_of(s, slot, key, &passphrase, e)) == 0)
		r = seal_try_slot(s, slot->slot, passphrase ? passphrase : key, &root, e);
	return r < 0 ? r : take_root(s, &root, ret_root, e);
}

/* ---- changing ---- */

int seal_add_key(struct seal *s, int slot, const struct secret *root, const struct secret *key, bool strong,
		 struct error *e)
{
	int r = crypt_set_pbkdf_type(s->cd, strong ? &seal_pbkdf_strong : &pbkdf_weak);
	if (r == 0)
		r = crypt_keyslot_set_encryption(s->cd, KEYSLOT_CIPHER, KEYSLOT_KEY_LEN);
	if (r == 0)
		r = crypt_keyslot_add_by_volume_key(s->cd, slot, (const char *)root->data, root->len,
						    (const char *)key->data, key->len);
	return r < 0 ? seal_fail(s, r, "add a slot to the seal", e) : r;
}

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	const struct slot_kind *k = slot_kind(c->type);
	if (k->enrol)
		return k->enrol(s, root, c, ret_slot, e);
	int slot = seal_add_key(s, CRYPT_ANY_SLOT, root, c->key, is_strong(c), e);
	if (slot < 0)
		return slot;
	*ret_slot = slot;
	return 0;
}

static int fit_credential(const struct credential *c, struct credential *ret, struct secret **ret_own, struct error *e)
{
	const struct slot_kind *k = slot_kind(c->type);
	if (!k || (!k->device && !c->key && !c->path))
		return error_set(e, ERROR_USAGE, EINVAL, "this is no key that a slot can be made for");
	int r = slot_check(c->type, c->path, c->params, e);
	if (r < 0)
		return r;
	if (k->fit)
		return k->fit(c, ret, ret_own, e);
	*ret = *c;
	return 0;
}

int seal_add(struct seal *s, const struct secret *root, const struct credential *credential, int *ret_slot,
	     struct error *e)
{
	AUTOSECRET struct secret *own = NULL;
	AUTOSECRET struct secret *got = NULL;
	struct credential fit, *c = &fit;
	struct slot *made = NULL;
	int slot = -1, r = fit_credential(credential, &fit, &own, e);
	if (r < 0 || (r = enrol(s, root, c, &slot, e)) < 0 || (r = seal_token_write(s->cd, slot, c, e)) < 0)
		return r;
	if (!(made = calloc(1, sizeof(*made))))
		return error_oom(e);
	/* As it will be opened: by what the token says, not by what we still know. */
	if ((r = seal_token_read(s->cd, slot, made, e)) == 0 && (r = seal_unlock_slot(s, made, c->key, &got, e)) < 0)
		error_prefix(e, "the new slot was made but does not open");
	slots_free(made, 1);
	if (r < 0)
		return r;
	if (!secret_equal(got, root))
		return error_set(e, ERROR_FAILED, EIO, "the new slot does not give the root key back");
	*ret_slot = slot;
	return 0;
}

static size_t count_known(const struct slot *slots, size_t n, int *ret_index, int slot)
{
	size_t known = 0;
	*ret_index = -1;
	for (size_t i = 0; i < n; i++) {
		if (slots[i].slot == slot)
			*ret_index = (int)i;
		else if (slots[i].type != SLOT_OTHER)
			known++;
	}
	return known;
}

int seal_remove(struct seal *s, int slot, struct error *e)
{
	struct slot *slots = NULL;
	size_t n = 0;
	int index = -1, r = seal_slots(s, &slots, &n, e);
	if (r < 0)
		return r;
	/* What would remain; a slot that we cannot use is no way to unseal. */
	size_t remain = count_known(slots, n, &index, slot);
	slots_free(slots, n);
	if (index < 0)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "the seal has no slot %d", slot);
	if (!remain)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "slot %d is the last way to unseal this keystore; add another one first", slot);
	r = seal_token_remove(s->cd, slot);
	if (r == 0)
		r = crypt_keyslot_destroy(s->cd, slot);
	return r < 0 ? seal_fail(s, r, "remove a slot of the seal", e) : 0;
}
