/* Records: storing and removing, any number of them in one transaction. */
#include "keystore/internal.h"

#include "keystore/record/envelope.h"

/* What will be stored of one record; the record itself changes only after all of it was. */
struct sealed {
	unsigned char *data;
	size_t len;
};

struct apply {
	const struct keystore_change *changes;
	struct sealed *sealed;	/* one for each change; empty where it removes */
	size_t n;
	const char *action, *detail;
};

static void apply_clear(struct apply *a)
{
	for (size_t i = 0; a->sealed && i < a->n; i++)
		free(a->sealed[i].data);
	free(a->sealed);
}

static int put_row(struct keystore *ks, const struct apply *a, size_t i, struct error *e)
{
	const struct record *r = a->changes[i].record;
	struct store_record row = {
		.path = r->path, .revision = r->revision + 1, .envelope = a->sealed[i].data,
		.envelope_len = a->sealed[i].len,
	};
	struct store_audit audit = {
		.kind = AUDIT_PUT, .action = a->action, .detail = a->detail, .revision = r->revision + 1,
	};
	uuid_copy(row.uuid, r->uuid);
	uuid_copy(row.luks, r->luks_uuid);
	uuid_copy(audit.volume, r->uuid);
	kdf_sha256(row.envelope, row.envelope_len, audit.hash);
	int res = store_put(ks->store, &row, r->revision, e);
	return res < 0 ? res : audit_append(ks->store, ks->audit_key, &audit, r->revision ? 0 : 1, e);
}

static int remove_row(struct keystore *ks, const struct apply *a, size_t i, struct error *e)
{
	const struct record *r = a->changes[i].record;
	struct store_audit audit = {
		.kind = AUDIT_REMOVE, .action = a->action, .detail = a->detail, .revision = r->revision,
	};
	uuid_copy(audit.volume, r->uuid);
	int res = store_remove(ks->store, r->uuid, r->revision, e);
	return res < 0 ? res : audit_append(ks->store, ks->audit_key, &audit, -1, e);
}

static int apply_rows(struct keystore *ks, void *ctx, struct error *e)
{
	const struct apply *a = ctx;
	int r = 0;
	/* Removals first: a record may take the path of one that goes. */
	for (size_t i = 0; i < a->n && r == 0; i++)
		if (a->changes[i].remove)
			r = remove_row(ks, a, i, e);
	for (size_t i = 0; i < a->n && r == 0; i++)
		if (!a->changes[i].remove)
			r = put_row(ks, a, i, e);
	return r;
}

static int seal_all(struct keystore *ks, struct apply *a, struct error *e)
{
	a->sealed = calloc(a->n, sizeof(*a->sealed));
	if (!a->sealed)
		return error_oom(e);
	for (size_t i = 0; i < a->n; i++) {
		const struct record *r = a->changes[i].record;
		if (a->changes[i].remove)
			continue;
		if (r->revision && !r->revealed)
			return error_set(e, ERROR_FAILED, EINVAL, "a record must be revealed before it is changed");
		int res = envelope_seal(ks->root, ks->root_id, r, r->revision + 1, &a->sealed[i].data,
					&a->sealed[i].len, e);
		if (res < 0)
			return res;
	}
	return 0;
}

int keystore_apply(struct keystore *ks, const struct keystore_change *changes, size_t n, const char *action,
		   const char *detail, struct error *e)
{
	CLEANUP(apply_clear) struct apply a = { .changes = changes, .n = n, .action = action, .detail = detail };
	bool removed = false;
	int res = keystore_need_root(ks, e);
	if (res < 0 || (res = seal_all(ks, &a, e)) < 0 || (res = keystore_transact(ks, apply_rows, &a, e)) < 0)
		return res;
	for (size_t i = 0; i < n; i++) {
		struct record *r = changes[i].record;
		removed |= changes[i].remove;
		if (changes[i].remove)
			continue;
		free(r->envelope);
		r->envelope = TAKE_PTR(a.sealed[i].data);
		r->envelope_len = a.sealed[i].len;
		r->revision++;
		r->revealed = 1;
	}
	if (removed)
		store_scrub(ks->store);
	return 0;
}

int keystore_put(struct keystore *ks, struct record *r, const char *action, const char *detail, struct error *e)
{
	return keystore_apply(ks, &(struct keystore_change){ .record = r }, 1, action, detail, e);
}

int keystore_remove(struct keystore *ks, struct record *r, const char *action, const char *detail, struct error *e)
{
	return keystore_apply(ks, &(struct keystore_change){ .record = r, .remove = true }, 1, action, detail, e);
}
