#include "lib/workflow/keyslot.h"
#include "lib/volume/keyslots.h"

#include <errno.h>

static int begin(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int *ret_lock,
		 struct record **ret, struct keyslots *ret_k, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = volume_lock(env->ks, volume, true, ret_lock, e);
	if (result == 0)
		result = keystore_get(env->ks, volume, &r, e);
	if (result == 0)
		result = volume_check_ready(r, e);
	if (result == 0)
		result = keystore_reveal(env->ks, &r, 1, "keyslot", NULL, e);
	if (result == 0)
		result = keyslots_begin(env, g, r, ret_k, e);
	/* Whatever is added or removed, the keystore's passphrase has to be one that works. */
	if (result == 0)
		result = keyslots_prove(ret_k, r->passphrase, e);
	if (result == 0)
		*ret = TAKE_PTR(r);
	return result;
}

static int slot_of(const struct record *r, const struct secret *passphrase, int *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct error why = { 0 };
	int result = volume_open_header(r, CONTAINER_LOOK, &c, e);
	if (result < 0)
		return result;
	result = volume_unlock_cheap(container_luks(c), passphrase, ret, NULL, &why);
	if (result < 0 && why.kind == ERROR_BAD_KEY) {
		*ret = -1;
		return 0;
	}
	if (result < 0)
		*e = why;
	return result;
}

static int add_slow(struct keyslots *k, const struct secret *passphrase, struct error *e)
{
	int slot;
	if (k->amend)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "guest %s runs with %s and would stand still while a passphrase is derived: stop it first, or add a recovery key",
				 virDomainGetName(k->domain), k->record->path);
	int result = luks_add_keyslot(container_luks(k->container), -1, k->record->volume_key, passphrase,
				      LUKS_KDF_PERSON, &slot, e);
	return result < 0 ? result : container_write_back(k->container, e);
}

static int remember(const struct volume_env *env, struct record *r, const char *action, uint32_t recovery_slots,
		    struct error *e)
{
	r->recovery_slots = recovery_slots;
	return keystore_put(env->ks, r, action, r->path, e);
}

int volume_keyslot_add(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		       const struct secret *passphrase, bool recovery, int *ret_slot, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOCLOSE int lock = -1;
	AUTOKEYSLOTS struct keyslots k = { 0 };
	int slot, result = begin(env, g, volume, &lock, &r, &k, e);
	if (result < 0 || (result = slot_of(r, passphrase, &slot, e)) < 0)
		return result;
	if (slot >= 0)
		return error_set(e, ERROR_EXISTS, EEXIST, "keyslot %d of %s opens with it already", slot, r->path);
	result = recovery ? keyslots_add(&k, r->passphrase, passphrase, e) : add_slow(&k, passphrase, e);
	/* From the disk, which also proves that it opens. */
	if (result == 0)
		result = slot_of(r, passphrase, &slot, e);
	if (result == 0 && slot < 0)
		result = error_set(e, ERROR_FAILED, EIO, "the new keyslot of %s does not open", r->path);
	if (result == 0)
		result = remember(env, r, "keyslot-add",
				  recovery ? r->recovery_slots | 1u << slot : r->recovery_slots & ~(1u << slot), e);
	if (result == 0)
		*ret_slot = slot;
	return result;
}

int volume_keyslot_remove(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int slot,
			  struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOCLOSE int lock = -1;
	AUTOKEYSLOTS struct keyslots k = { 0 };
	int ours, result = begin(env, g, volume, &lock, &r, &k, e);
	if (result < 0 || (result = slot_of(r, r->passphrase, &ours, e)) < 0)
		return result;
	if (slot == ours)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "keyslot %d of %s is kvmcrypt's own: `kvmcrypt rotate` replaces it", slot, r->path);
	result = keyslots_remove_number(&k, slot, e);
	return result < 0 ? result : remember(env, r, "keyslot-remove", r->recovery_slots & ~(1u << slot), e);
}
