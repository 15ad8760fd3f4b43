/* Keyslots of an open header: try, add, remove. */
#include "lib/image/luks/internal.h"

#include <errno.h>
#include <string.h>

uint64_t luks_active_slots(const struct luks_info *info)
{
	uint64_t mask = 0;
	for (int i = 0; i < info->n_keyslots; i++)
		if (info->keyslots[i].active)
			mask |= UINT64_C(1) << info->keyslots[i].slot;
	return mask;
}

int luks_free_keyslots(const struct luks_info *info)
{
	return info->n_keyslots - __builtin_popcountll(luks_active_slots(info));
}

/* Of those that open the volume, or of all. */
static int active_slots(const struct luks *l, bool unbound_too)
{
	int n = 0;
	for (int i = 0; i < l->info.n_keyslots; i++)
		n += l->info.keyslots[i].active && (unbound_too || !l->info.keyslots[i].unbound);
	return n;
}

static int check_slot_number(const struct luks *l, int slot, struct error *e)
{
	if (slot < -1 || slot >= l->info.n_keyslots)
		return error_set(e, ERROR_USAGE, EINVAL, "there is no keyslot %d", slot);
	return 0;
}

static int check_slot_active(const struct luks *l, int slot, struct error *e)
{
	if (slot < 0 || slot >= l->info.n_keyslots || !l->info.keyslots[slot].active)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "keyslot %d is not in use", slot);
	return 0;
}

/*
 * libcryptsetup answers -EPERM for "opens nothing". Where it cannot run a keyslot's cipher itself
 * it falls back to the kernel (AF_ALG, device-mapper), and without those anything but "wrong key"
 * is true.
 */
static int unlock_failed(const struct luks *l, int r, struct error *e)
{
	if (r == -EPERM && !l->session.log[0])
		return error_set(e, ERROR_BAD_KEY, EPERM, "the passphrase opens no keyslot");
	if (r == -ENOENT && !l->session.log[0] && active_slots(l, false))
		return error_set(e, ERROR_BAD_KEY, EPERM, "the passphrase opens no keyslot");
	if (r == -ENOENT && !l->session.log[0])
		return error_set(e, ERROR_BAD_KEY, ENOKEY, "the header has no keyslot in use");
	if (r == -ENOMEM)
		return luks_fail(l, ERROR_FAILED, r, e, "cannot try the passphrase");
	if (luks_needs_kernel(l))
		return error_set(e, ERROR_FAILED, ENOTSUP, "%s", LUKS_NEEDS_KERNEL);
	return error_set(e, ERROR_FAILED, ENOTSUP, "cipher %s is not available on this machine (%s)",
			 l->info.cipher, l->session.log[0] ? l->session.log : strerror(-r));
}

static int unlocked(int slot, struct secret **key, int *ret_slot, struct secret **ret_volume_key)
{
	if (ret_slot)
		*ret_slot = slot;
	if (ret_volume_key)
		*ret_volume_key = TAKE_PTR(*key);
	return 0;
}

int luks_unlock(struct luks *l, int slot, const struct secret *passphrase, int *ret_slot,
		struct secret **ret_volume_key, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	int r;
	if ((r = check_slot_number(l, slot, e)) < 0 ||
	    (slot >= 0 && (r = check_slot_active(l, slot, e)) < 0))
		return r;
	size_t len = l->info.key_bits / 8;
	if (!active_slots(l, false))
		return unlock_failed(l, -ENOENT, e);
	if (slot >= 0 && l->info.keyslots[slot].unbound)
		return error_set(e, ERROR_BAD_KEY, EPERM, "keyslot %d holds another key than the volume's", slot);
	r = slot >= 0 ? luks1_open(l, slot, passphrase, &key) : -ENOTSUP;
	if (r != -ENOTSUP) {
		l->session.log[0] = 0;
		return r < 0 ? unlock_failed(l, r, e) : unlocked(slot, &key, ret_slot, ret_volume_key);
	}
	if ((r = luks_context(l, e)) < 0 || (r = secret_new(len, &key, e)) < 0)
		return r;
	l->session.log[0] = 0;
	r = crypt_volume_key_get(l->session.cd, slot < 0 ? CRYPT_ANY_SLOT : slot, (char *)key->data, &len,
				 (const char *)passphrase->data, passphrase->len);
	if (r < 0)
		return unlock_failed(l, r, e);
	key->len = len;
	return unlocked(r, &key, ret_slot, ret_volume_key);
}

int luks_add_keyslot(struct luks *l, int slot, const struct secret *volume_key,
		     const struct secret *passphrase, enum luks_kdf_cost cost, int *ret_slot,
		     struct error *e)
{
	int r = check_slot_number(l, slot, e);
	if (r < 0)
		return r;
	if (slot >= 0 && l->info.keyslots[slot].active)
		return error_set(e, ERROR_EXISTS, EEXIST, "keyslot %d is in use", slot);
	if (active_slots(l, true) == l->info.n_keyslots)
		return error_set(e, ERROR_FAILED, ENOSPC,
				 "all keyslots are in use: `kvmcrypt keyslot remove` one first");
	if ((r = luks_context(l, e)) < 0 || (r = luks_set_cost(l, cost, e)) < 0)
		return r;
	l->session.log[0] = 0;
	int added = crypt_keyslot_add_by_volume_key(l->session.cd, slot < 0 ? CRYPT_ANY_SLOT : slot,
						    (const char *)volume_key->data, volume_key->len,
						    (const char *)passphrase->data, passphrase->len);
	if (added == -EPERM)
		r = error_set(e, ERROR_BAD_KEY, EPERM, "the volume key is not the one of this header");
	else if (added < 0)
		r = luks_fail(l, ERROR_FAILED, added, e, "cannot add a keyslot");
	/* After an error the slot may be live all the same: what counts is what was written. */
	int reread = luks_reload(l, r < 0 ? NULL : e);
	if (r < 0 || reread < 0)
		return r < 0 ? r : reread;
	if (ret_slot)
		*ret_slot = added;
	return 0;
}

int luks_remove_keyslot(struct luks *l, int slot, struct error *e)
{
	int r = check_slot_active(l, slot, e);
	if (r < 0 || (r = luks_context(l, e)) < 0)
		return r;
	if (active_slots(l, false) == 1 && !l->info.keyslots[slot].unbound)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "keyslot %d is the last one: without it nothing opens the volume", slot);
	l->session.log[0] = 0;
	int destroyed = crypt_keyslot_destroy(l->session.cd, slot);
	if (destroyed < 0)
		r = luks_fail(l, ERROR_FAILED, destroyed, e, "cannot remove the keyslot");
	int reread = luks_reload(l, r < 0 ? NULL : e);
	return r < 0 ? r : reread;
}

/* ---- unbound: a keyslot whose volume key no segment has ---- */

int luks_add_unbound(struct luks *l, const struct secret *volume_key, const struct secret *passphrase, int *ret_slot,
		     struct error *e)
{
	int r = luks_set_cost(l, LUKS_KDF_GENERATED, e);
	if (r < 0)
		return r;
	l->session.log[0] = 0;
	int added =
		crypt_keyslot_add_by_key(l->session.cd, CRYPT_ANY_SLOT, (const char *)volume_key->data, volume_key->len,
					 (const char *)passphrase->data, passphrase->len, CRYPT_VOLUME_KEY_NO_SEGMENT);
	if (added < 0)
		return luks_fail(l, ERROR_FAILED, added, e, "cannot add a keyslot");
	*ret_slot = added;
	return luks_reload(l, e);
}

int luks_remove_unbound(struct luks *l, struct error *e)
{
	for (int i = 0; i < l->info.n_keyslots; i++) {
		l->session.log[0] = 0;
		if (crypt_keyslot_status(l->session.cd, i) != CRYPT_SLOT_UNBOUND ||
		    l->info.keyslots[i].key_bits != l->info.key_bits)
			continue;
		int r = crypt_keyslot_destroy(l->session.cd, i);
		if (r < 0)
			return luks_fail(l, ERROR_FAILED, r, e, "cannot remove a keyslot");
	}
	return luks_reload(l, e);
}
