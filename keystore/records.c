/* Records: reading and revealing. */
#include "keystore/internal.h"

#include "keystore/record/envelope.h"
#include "keystore/tree.h"

#include <string.h>

int keystore_match_row(const struct store_record *row, const struct record *r, struct error *e)
{
	if (uuid_compare(row->uuid, r->uuid) || strcmp(row->path, r->path) ||
	    uuid_compare(row->luks, r->luks_uuid) || row->revision != r->revision)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the store was tampered with: the row of %s is not that of its record", row->path);
	return 0;
}

/* What was stored last for the volume: by the tree; in an older store by the newest row of the trail. */
static int newest(struct keystore *ks, const uuid_t volume, bool *ret_found, unsigned char ret[HASH_LEN],
		  struct error *e)
{
	struct audit_head head;
	struct store_audit row;
	int r = audit_head_read(ks->store, ks->audit_key, &head, e);
	if (r < 0 || !head.old)
		return r < 0 ? r : tree_get(ks->store, head.tree, volume, ret_found, ret, e);
	r = audit_newest(ks->store, ks->audit_key, volume, 1u << AUDIT_PUT | 1u << AUDIT_REMOVE, ret_found, &row, e);
	if (r == 0 && *ret_found) {
		*ret_found = row.kind == AUDIT_PUT;
		memcpy(ret, row.hash, HASH_LEN);
	}
	return r;
}

int keystore_check_fresh(struct keystore *ks, const struct record *r, struct error *e)
{
	unsigned char hash[HASH_LEN], want[HASH_LEN];
	bool found = false;
	kdf_sha256(r->envelope, r->envelope_len, hash);
	int res = newest(ks, r->uuid, &found, want, e);
	if (res == 0 && (!found || memcmp(want, hash, HASH_LEN)))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the record of %s is not the one that was stored last: an older one was put back",
				 r->path);
	return res;
}

int keystore_check_absent(struct keystore *ks, const uuid_t volume, struct error *e)
{
	unsigned char hash[HASH_LEN];
	char name[UUID_STR_LEN];
	bool found = false;
	int r = newest(ks, volume, &found, hash, e);
	uuid_unparse_lower(volume, name);
	if (r == 0 && found)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the record of volume %s was stored and is gone: run `kvmcrypt keystore check`", name);
	return r;
}

/* ---- reading ---- */

struct found {
	struct record *record;
	bool several;
};

static int take_row(void *ctx, const struct store_record *row, struct error *e)
{
	struct found *f = ctx;
	AUTORECORD struct record *r = NULL;
	if (f->record) {
		f->several = true;
		return 1;
	}
	int res = envelope_parse(row->envelope, row->envelope_len, &r, e);
	if (res < 0)
		return error_prefix(e, "%s", row->path);
	if ((res = keystore_match_row(row, r, e)) < 0)
		return res;
	r->last_used = row->last_used;
	f->record = TAKE_PTR(r);
	return 0;
}

/* Row, envelope and audit trail have to agree; only the root key can tell about the last two. */
static int read_one(struct keystore *ks, enum store_key by, const void *key, struct found *f,
		    struct error *e)
{
	int r = store_find(ks->store, by, key, take_row, f, e);
	if (r == 0 && !f->record && ks->root && by == STORE_BY_UUID)
		return keystore_check_absent(ks, key, e);
	if (r < 0 || !f->record || f->several || !ks->root)
		return r < 0 ? r : 0;
	r = envelope_open(ks->root, ks->root_id, f->record, false, e);
	return r < 0 ? r : keystore_check_fresh(ks, f->record, e);
}

static int lookup(struct keystore *ks, enum store_key by, const void *key, const char *name,
		  struct record **ret, struct error *e)
{
	struct found f = { 0 };
	int r = store_begin(ks->store, false, e);
	if (r < 0)
		return r;
	r = ks->root ? keystore_same_root(ks, e) : 0;
	if (r == 0)
		r = read_one(ks, by, key, &f, e);
	store_rollback(ks->store);
	if (r == 0 && !f.record)
		r = error_set(e, ERROR_NOT_FOUND, ENOENT, "the keystore has no volume %s", name);
	if (r == 0 && f.several)
		r = error_set(e, ERROR_FAILED, ENOTUNIQ,
			      "several volumes have LUKS UUID %s (copies of one image?); name one by its path", name);
	if (r < 0) {
		record_free(f.record);
		return r;
	}
	*ret = f.record;
	return 0;
}

int keystore_get(struct keystore *ks, const uuid_t volume, struct record **ret, struct error *e)
{
	char name[UUID_STR_LEN];
	uuid_unparse_lower(volume, name);
	return lookup(ks, STORE_BY_UUID, volume, name, ret, e);
}

int keystore_find_path(struct keystore *ks, const char *path, struct record **ret, struct error *e)
{
	return lookup(ks, STORE_BY_PATH, path, path, ret, e);
}

int keystore_find_luks(struct keystore *ks, const uuid_t luks, struct record **ret, struct error *e)
{
	char name[UUID_STR_LEN];
	uuid_unparse_lower(luks, name);
	return lookup(ks, STORE_BY_LUKS, luks, name, ret, e);
}

struct each {
	int (*fn)(void *ctx, const struct record *r);
	void *ctx;
	bool damaged;
	struct error why;
};

static int each_row(void *ctx, const struct store_record *row, struct error *e)
{
	struct each *it = ctx;
	struct found f = { 0 };
	(void)e;
	/* One damaged record must not hide all that come after it. */
	if (take_row(&f, row, it->damaged ? NULL : &it->why) < 0) {
		it->damaged = true;
		return 0;
	}
	int r = it->fn(it->ctx, f.record);
	record_free(f.record);
	return r;
}

int keystore_each(struct keystore *ks, int (*fn)(void *ctx, const struct record *r), void *ctx,
		  struct error *e)
{
	struct each it = { .fn = fn, .ctx = ctx };
	int r = store_each(ks->store, each_row, &it, e);
	if (r || !it.damaged)
		return r;
	if (e)
		*e = it.why;
	return -it.why.err;
}

/* ---- revealing ---- */

struct reveal {
	struct record *const *records;
	size_t n;
	const char *purpose, *detail;
	int64_t when;
};

static int log_uses(struct keystore *ks, void *ctx, struct error *e)
{
	struct reveal *v = ctx;
	for (size_t i = 0; i < v->n; i++) {
		const struct record *r = v->records[i];
		struct store_audit row = { .kind = AUDIT_USE, .action = v->purpose, .detail = v->detail };
		uuid_copy(row.volume, r->uuid);
		int res = audit_append(ks->store, ks->audit_key, &row, 0, e);
		/* Fails when the record is no longer what the caller has read. */
		if (res < 0 || (res = store_touch(ks->store, r->uuid, r->revision, row.when, e)) < 0 ||
		    (res = keystore_check_fresh(ks, r, e)) < 0)
			return res;
		v->when = row.when;
	}
	return 0;
}

int keystore_reveal(struct keystore *ks, struct record *const *records, size_t n,
		    const char *purpose, const char *detail, struct error *e)
{
	struct reveal v = { .records = records, .n = n, .purpose = purpose, .detail = detail };
	int r = keystore_need_root(ks, e);
	if (r < 0 || (r = keystore_transact(ks, log_uses, &v, e)) < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = envelope_open(ks->root, ks->root_id, records[i], true, e);
		if (r < 0)
			return r;
		records[i]->last_used = v.when;
	}
	return 0;
}

int keystore_peek(struct keystore *ks, struct record *r, struct error *e)
{
	int res = keystore_need_root(ks, e);
	if (res < 0 || (res = store_begin(ks->store, false, e)) < 0)
		return res;
	res = keystore_same_root(ks, e);
	if (res == 0)
		res = keystore_check_fresh(ks, r, e);
	store_rollback(ks->store);
	return res < 0 ? res : envelope_open(ks->root, ks->root_id, r, true, e);
}
