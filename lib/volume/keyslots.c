#include "lib/volume/keyslots.h"

#include "lib/guest/secret.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <stdio.h>

int keyslots_begin(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		   struct keyslots *ret, struct error *e)
{
	AUTOKEYSLOTS struct keyslots k = { .env = env, .record = r };
	int result = 0;
	/* A guest with a LUKS2 volume has its mapping; the header is the host's. */
	if (!volume_is_mapped_for_guests(r))
		result = volume_find_guest(g, r, &k.domain, k.target, sizeof(k.target), e);
	if (result == 0 && k.domain)
		result = guest_amend_begin(g, k.domain, k.target, r->uuid, &k.amend, e);
	else if (result == 0)
		result = volume_open_header(r, CONTAINER_CHANGE, &k.container, e);
	if (result < 0)
		return result;
	*ret = k;
	k = (struct keyslots){ 0 };
	return 0;
}

void keyslots_end(struct keyslots *k)
{
	guest_amend_end(k->amend);
	if (k->domain)
		virDomainFree(k->domain);
	container_free(k->container);
	*k = (struct keyslots){ 0 };
}

/* ---- add ---- */

int keyslots_prove(const struct keyslots *k, const struct secret *passphrase, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *key = NULL;
	int slot, result = volume_open_header(k->record, CONTAINER_LOOK, &c, e);
	if (result == 0)
		result = volume_unlock_cheap(container_luks(c), passphrase, &slot, &key, e);
	if (result == 0 && !secret_equal(key, k->record->volume_key))
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "%s has another volume key than its record",
				   k->record->path);
	return result;
}

int keyslots_plan(struct keyslots *k, const struct secret *fresh, struct luks_keyslot *ret, struct error *e)
{
	int slot = -1, result;
	*ret = (struct luks_keyslot){ .slot = -1 };
	if (k->amend)
		return 0;
	struct luks *l = container_luks(k->container);
	result = luks_add_keyslot(l, -1, k->record->volume_key, fresh, LUKS_KDF_GENERATED, &slot, e);
	if (result < 0)
		return result;
	*ret = luks_info(l)->keyslots[slot];
	k->planned = true;
	return 0;
}

int keyslots_add(struct keyslots *k, const struct secret *current, const struct secret *fresh, struct error *e)
{
	struct luks_keyslot ignored;
	int result = k->amend	  ? guest_amend_add(k->amend, current, fresh, k->env->note, k->env->note_context, e)
		     : k->planned ? 0
				  : keyslots_plan(k, fresh, &ignored, e);
	if (result == 0 && !k->amend)
		result = container_write_back(k->container, e);
	if (result < 0)
		return result;
	k->planned = false;
	result = keyslots_prove(k, fresh, e);
	return result < 0 ? error_prefix(e, "the new keyslot does not open the volume") : 0;
}

/* ---- remove ---- */

int keyslots_find(const struct record *r, const struct secret *passphrase, int *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct error why = { 0 };
	int result = volume_open_header(r, CONTAINER_LOOK, &c, e);
	if (result < 0)
		return result;
	result = volume_unlock_cheap(container_luks(c), passphrase, ret, NULL, &why);
	if (result == 0)
		return 0;
	*ret = -1;
	return why.kind == ERROR_BAD_KEY ? 0 : error_pass(e, &why);
}

int keyslots_remove_number(struct keyslots *k, int slot, struct error *e)
{
	return k->amend ? guest_amend_remove(k->amend, slot, e) : container_remove_keyslot(k->container, slot, e);
}

int keyslots_remove(struct keyslots *k, const struct secret *gone, int *ret_removed, struct error *e)
{
	int slot, result, removed = 0;
	while ((result = keyslots_find(k->record, gone, &slot, e)) == 0 && slot >= 0) {
		if ((result = keyslots_remove_number(k, slot, e)) < 0)
			return result;
		/* A keyslot that comes back is no reason to go on for ever. */
		if (++removed > LUKS_KEYSLOTS_MAX)
			return error_set(e, ERROR_FAILED, EIO, "keyslot %d cannot be destroyed", slot);
	}
	if (result == 0 && ret_removed)
		*ret_removed = removed;
	return result;
}

int keyslots_remove_planned(struct keyslots *k, int slot, uint64_t mark, const struct secret *keep, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int kept, result = volume_open_header(k->record, CONTAINER_LOOK, &c, e);
	if (result < 0)
		return result;
	const struct luks_info *info = luks_info(container_luks(c));
	if (slot < 0 || slot >= info->n_keyslots || !info->keyslots[slot].active || info->keyslots[slot].mark != mark)
		return 0;
	result = keyslots_find(k->record, keep, &kept, e);
	return result < 0 || kept == slot ? result : keyslots_remove_number(k, slot, e);
}
