/* The ways to unseal: making a keystore with its first ones, adding and removing them. */
#include "keystore/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- making a keystore ---- */

static int first_row(struct keystore *ks, void *ctx, struct error *e)
{
	struct store_audit row = { .seq = 1, .kind = AUDIT_SEAL, .action = "init" };
	memcpy(row.hash, ctx, HASH_LEN);
	int r = store_meta_put(ks->store, META_ROOT_ID, ks->root_id, sizeof(uuid_t), e);
	return r < 0 ? r : audit_append(ks->store, ks->audit_key, &row, 0, e);
}

static int make_store(struct keystore *ks, const unsigned char digest[HASH_LEN], void *ctx, struct error *e)
{
	(void)ctx;
	int r = store_open(ks->path, true, &ks->store, e);
	return r < 0 ? r : keystore_transact(ks, first_row, (void *)digest, e);
}

/*
 * The store first, the seal last and by rename: without a seal there is no keystore, so whatever
 * is interrupted before leaves nothing that looks like one.
 */
static int fill(struct keystore *ks, const struct credential *creds, size_t n, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOSECRET struct secret *root = NULL;
	int slot, r;
	if ((r = store_discard(ks->path, e)) < 0 || (r = secret_random(ROOT_KEY_LEN, &root, e)) < 0 ||
	    (r = kdf_root_id(root, ks->root_id, e)) < 0 ||
	    (r = seal_create(ks->dir, root, ks->root_id, &seal, e)) < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if ((r = seal_add(seal, root, &creds[i], &slot, e)) < 0)
			return r;
	/* Before the seal is there: a keystore that is there is pinned. */
	if ((r = keystore_take_root(ks, &root, e)) < 0 || (r = keystore_pin_begin(ks, ks->root_id, true, e)) < 0)
		return r;
	return keystore_swap_seal(ks, seal, make_store, NULL, e);
}

int keystore_create(const char *location, const struct credential *creds, size_t n_creds,
		    struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = calloc(1, sizeof(*ks));
	AUTOCLOSE int lock = -1;
	bool made = false;
	if (!ks)
		return error_oom(e);
	ks->dir = -1;
	if (!n_creds)
		return error_set(e, ERROR_USAGE, EINVAL, "a keystore needs at least one way to unseal it");
	int r = directory_make(location, &ks->path, &ks->dir, &made, e);
	if (r < 0 || (r = keystore_names(ks, location, e)) < 0 || (r = seal_lock(ks->dir, true, &lock, e)) < 0)
		return r;
	/* Another one may have made it while we waited for the lock. */
	if (faccessat(ks->dir, "seal", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(e, ERROR_EXISTS, EEXIST, "there is a keystore at %s already", ks->path);
	r = fill(ks, creds, n_creds, e);
	if (r < 0) {
		bool sealed = faccessat(ks->dir, "seal", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
		store_closep(&ks->store);
		/* Whatever became of the store: without a seal it is none, and its records are none. */
		if (!sealed && store_discard(ks->path, NULL) == 0) {
			seal_drop_first(ks->dir);
			keystore_pin_settle(ks);
		}
		if (made)
			rmdir(ks->path);
		return r;
	}
	keystore_pin_settle(ks);
	ks->pinned = true;
	*ret = TAKE_PTR(ks);
	return 0;
}

/* ---- changing the slots ---- */

int keystore_slots(struct keystore *ks, struct slot **ret, size_t *ret_n, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	int r = keystore_load_seal(ks, &seal, e);
	return r < 0 ? r : seal_slots(seal, ret, ret_n, e);
}

struct change {
	const char *action, *detail;
	const unsigned char *digest;
};

static int log_change(struct keystore *ks, void *ctx, struct error *e)
{
	const struct change *c = ctx;
	struct store_audit row = { .kind = AUDIT_SEAL, .action = c->action, .detail = c->detail };
	memcpy(row.hash, c->digest, HASH_LEN);
	return audit_append(ks->store, ks->audit_key, &row, 0, e);
}

static int log_it(struct keystore *ks, const unsigned char digest[HASH_LEN], void *ctx, struct error *e)
{
	struct change *c = ctx;
	c->digest = digest;
	return keystore_transact(ks, log_change, c, e);
}

/* Logged first, then done: a slot that nobody logged must not exist. */
static int commit_change(struct keystore *ks, struct seal *seal, const char *action,
			 const char *detail, struct error *e)
{
	return keystore_swap_seal(ks, seal, log_it, &(struct change){ .action = action, .detail = detail }, e);
}

int keystore_lock_seal(struct keystore *ks, int *ret_lock, struct error *e)
{
	AUTOCLOSE int lock = -1;
	int r = keystore_need_root(ks, e);
	if (r < 0 || (r = seal_lock(ks->dir, true, &lock, e)) < 0 || (r = keystore_finish_swap(ks, e)) < 0)
		return r;
	keystore_pin_settle(ks);
	*ret_lock = TAKE_FD(lock);
	return 0;
}

static int begin_change(struct keystore *ks, int *ret_lock, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOCLOSE int lock = -1;
	int r = keystore_lock_seal(ks, &lock, e);
	if (r < 0 || (r = seal_edit(ks->dir, &seal, e)) < 0 || (r = seal_verify(seal, ks->root, e)) < 0 ||
	    (r = keystore_seal_fits(ks, seal, e)) < 0)
		return r;
	*ret_lock = TAKE_FD(lock);
	*ret = TAKE_PTR(seal);
	return 0;
}

/* A second slot for one key file opens nothing more, and stays behind when the first is removed. */
static int refuse_twice(const struct seal *seal, const struct credential *c, struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	if (c->type != SLOT_KEY_FILE || !c->key || seal_unlock(seal, c, &root, NULL) < 0)
		return 0;
	return error_set(e, ERROR_EXISTS, EEXIST, "a slot for %s%s is there already (see `kvmcrypt keystore status`)",
			 c->path ? "key file " : "this key", c->path ? c->path : "");
}

int keystore_add_slot(struct keystore *ks, const struct credential *c, int *ret_slot, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	char detail[1280];
	int slot = -1, r = begin_change(ks, &lock, &seal, e);
	if (r == 0)
		r = refuse_twice(seal, c, e);
	if (r < 0 || (r = seal_add(seal, ks->root, c, &slot, e)) < 0)
		return r;
	const char *of = c->path ? c->path : c->params && c->params->device ? c->params->device
				 : c->params ? c->params->servers : NULL;
	snprintf(detail, sizeof(detail), "slot %d, %s%s%s", slot, slot_type_name(c->type), of ? " " : "", of ? of : "");
	if ((r = commit_change(ks, seal, "slot-add", detail, e)) < 0)
		return r;
	*ret_slot = slot;
	return 0;
}

static int renew(struct seal *seal, const struct secret *root, const struct slot *old, const struct secret *pin,
		 int *ret_slot, struct error *e)
{
	const struct credential c = { .type = old->type, .key = pin, .label = old->label, .params = &old->params };
	if (!slot_is_device(old->type))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "slot %d is of type '%s', which no change of a machine can close", old->slot,
				 slot_type_name(old->type));
	int r = seal_add(seal, root, &c, ret_slot, e);
	return r < 0 ? r : seal_remove(seal, old->slot, e);
}

int keystore_renew_slot(struct keystore *ks, int slot, const struct secret *pin, int *ret_slot, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	struct slot *slots = NULL;
	size_t n = 0, i = 0;
	char detail[96];
	int made = -1, r = begin_change(ks, &lock, &seal, e);
	if (r < 0 || (r = seal_slots(seal, &slots, &n, e)) < 0)
		return r;
	while (i < n && slots[i].slot != slot)
		i++;
	r = i < n ? renew(seal, ks->root, &slots[i], pin, &made, e)
		  : error_set(e, ERROR_NOT_FOUND, ENOENT, "the seal has no slot %d (see `kvmcrypt keystore status`)",
			      slot);
	if (r == 0)
		snprintf(detail, sizeof(detail), "slot %d, %s, in place of slot %d", made,
			 slot_type_name(slots[i].type), slot);
	slots_free(slots, n);
	if (r < 0 || (r = commit_change(ks, seal, "slot-renew", detail, e)) < 0)
		return r;
	*ret_slot = made;
	return 0;
}

int keystore_remove_slot(struct keystore *ks, int slot, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	char detail[32];
	int r = begin_change(ks, &lock, &seal, e);
	if (r < 0 || (r = seal_remove(seal, slot, e)) < 0)
		return r;
	snprintf(detail, sizeof(detail), "slot %d", slot);
	return commit_change(ks, seal, "slot-remove", detail, e);
}
