/* Opening a keystore; its root key in the kernel keyring; its status. */
#include "keystore/internal.h"

#include "base/text.h"
#include "keystore/cache.h"
#include "keystore/seal/recovery.h"

#include <stdio.h>
#include <string.h>

void keystore_free(struct keystore *ks)
{
	if (!ks)
		return;
	store_closep(&ks->store);
	secret_free(ks->root);
	secret_free(ks->audit_key);
	cleanup_close(&ks->dir);
	free(ks->path);
	free(ks->given);
	free(ks);
}

const char *keystore_path(const struct keystore *ks)
{
	return ks->path;
}

bool keystore_is_unsealed(const struct keystore *ks)
{
	return ks->root;
}

int keystore_need_root(const struct keystore *ks, struct error *e)
{
	if (ks->root)
		return 0;
	return error_set(e, ERROR_SEALED, ENOKEY, "the keystore is sealed: run `kvmcrypt unseal`");
}

int keystore_take_root(struct keystore *ks, struct secret **root, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	uuid_t id;
	int r = kdf_root_id(*root, id, e);
	if (r < 0)
		return r;
	if (uuid_compare(id, ks->root_id))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal and the store in %s do not belong together; restore both from one backup",
				 ks->path);
	if ((r = audit_key(*root, &key, e)) < 0)
		return r;
	secret_free(ks->root);
	secret_free(ks->audit_key);
	ks->root = TAKE_PTR(*root);
	ks->audit_key = TAKE_PTR(key);
	return 0;
}

void keystore_drop_root(struct keystore *ks)
{
	secret_free(TAKE_PTR(ks->root));
	secret_free(TAKE_PTR(ks->audit_key));
}

int keystore_same_root(struct keystore *ks, struct error *e)
{
	uuid_t id;
	size_t len = sizeof(id);
	struct error why = { 0 };
	int r = store_meta_get(ks->store, META_ROOT_ID, id, &len, &why);
	/* One that is being made has none yet. */
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_pass(e, &why);
	if (len == sizeof(id) && !uuid_compare(id, ks->root_id))
		return 0;
	return error_set(e, ERROR_BUSY, ESTALE,
			 "the keystore was given a new root key just now: run the command again");
}

int keystore_transact_as_is(struct keystore *ks, transaction_fn body, void *ctx, struct error *e)
{
	int r = store_begin(ks->store, true, e);
	if (r < 0)
		return r;
	r = keystore_same_root(ks, e);
	if (r == 0)
		r = body(ks, ctx, e);
	if (r == 0)
		return store_commit(ks->store, e);
	store_rollback(ks->store);
	return r;
}

struct body {
	transaction_fn fn;
	void *ctx;
};

static int upgraded(struct keystore *ks, void *ctx, struct error *e)
{
	const struct body *b = ctx;
	int r = keystore_upgrade(ks, e);
	return r < 0 ? r : b->fn(ks, b->ctx, e);
}

int keystore_transact(struct keystore *ks, transaction_fn fn, void *ctx, struct error *e)
{
	return keystore_transact_as_is(ks, upgraded, &(struct body){ fn, ctx }, e);
}

static int open_any(const char *location, struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = calloc(1, sizeof(*ks));
	if (!ks)
		return error_oom(e);
	ks->dir = -1;
	int r = directory_open(location, &ks->path, &ks->dir, e);
	if (r < 0 || (r = keystore_names(ks, location, e)) < 0 || (r = store_open(ks->path, false, &ks->store, e)) < 0)
		return r;
	size_t len = sizeof(uuid_t);
	r = store_meta_get(ks->store, META_ROOT_ID, ks->root_id, &len, e);
	if (r < 0)
		return r;
	if (len != sizeof(uuid_t))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: it names no root key", ks->path);
	*ret = TAKE_PTR(ks);
	return 0;
}

int keystore_open(const char *location, struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	int r = open_any(location, &ks, e);
	if (r < 0 || (r = keystore_check_pin(ks, e)) < 0)
		return r;
	*ret = TAKE_PTR(ks);
	return 0;
}

int keystore_open_expecting(const char *location, const char *root_id, struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	uuid_t want;
	int r = open_any(location, &ks, e);
	if (r < 0)
		return r;
	if (root_id && uuid_parse(root_id, want) < 0)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "'%s' is no ID of a root key (see `kvmcrypt keystore status`)", root_id);
	if (root_id && uuid_compare(want, ks->root_id) != 0) {
		char has[UUID_STR_LEN];
		uuid_unparse_lower(ks->root_id, has);
		return error_set(e, ERROR_REFUSED, EPERM,
				 "keystore %s has the root key %s, and not the one that is expected", ks->path, has);
	}
	*ret = TAKE_PTR(ks);
	return 0;
}

int keystore_dup(const struct keystore *ks, struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *copy = NULL;
	AUTOSECRET struct secret *root = NULL;
	int r = keystore_open(ks->path, &copy, e);
	if (r == 0 && ks->root && (r = secret_copy(ks->root->data, ks->root->len, &root, e)) == 0)
		r = keystore_take_root(copy, &root, e);
	if (r == 0)
		*ret = TAKE_PTR(copy);
	return r;
}

int keystore_generate_recovery(struct secret **ret, struct error *e)
{
	return recovery_generate(ret, e);
}

/* ---- the kernel keyring ---- */

int keystore_cache(struct keystore *ks, uint64_t timeout, struct error *e)
{
	int r = keystore_need_root(ks, e);
	return r < 0 ? r : cache_put(ks->root_id, ks->root, timeout, e);
}

int keystore_uncache(struct keystore *ks, bool *ret_was, struct error *e)
{
	return cache_remove(ks->root_id, ret_was, e);
}

int keystore_is_cached(struct keystore *ks, bool *ret, struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	struct error why = { 0 };
	int r = cache_get(ks->root_id, &root, &why);
	if (r == -ENOMEM)
		return error_pass(e, &why);
	*ret = r == 0;
	return 0;
}

int keystore_status(struct keystore *ks, struct keystore_status *ret, struct error *e)
{
	struct audit_head head;
	bool cached = false;
	uint64_t left = 0;
	int r = audit_head_read(ks->store, ks->audit_key, &head, e);
	if (r < 0 || (r = keystore_is_cached(ks, &cached, e)) < 0)
		return r;
	if (cached)
		cache_is_permanent(ks->root_id, &left);
	struct keystore_status s = {
		.cached = cached,
		.cached_for = left,
		.volumes = head.volumes,
		.schema_version = head.old ? 1 : STORE_SCHEMA_VERSION,
		.audit_seq = head.seq,
	};
	uuid_unparse_lower(ks->root_id, s.root_key_id);
	text_hex(head.mac, HASH_LEN, s.audit_head);
	*ret = s;
	return 0;
}
