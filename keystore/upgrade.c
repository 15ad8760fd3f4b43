/*
 * The store of an older kvmcrypt gets what this one goes by, with its first change and in the same transaction: the
 * tree over the records and the digest of the seal, in a head of their own kind. Both come from the trail, so all of it
 * is verified first: what is wrong with it now would be vouched for afterwards.
 */
#include "keystore/internal.h"

#include "keystore/tree.h"

#include <string.h>

struct upgrade {
	const struct secret *key;
	struct tree_entries tree;
	uint64_t seq;
	unsigned char mac[HASH_LEN];
	unsigned char seal[HASH_LEN];	/* of the file, as old rows have it */
};

static void upgrade_clear(struct upgrade *u)
{
	tree_entries_clear(&u->tree);
}

static int visit(void *ctx, const struct store_audit *a, struct error *e)
{
	struct upgrade *u = ctx;
	unsigned char mac[HASH_LEN];
	int r = audit_row_mac(u->key, u->mac, a, mac, e);
	if (r < 0)
		return r;
	if (a->seq != u->seq + 1 || !secret_same(mac, a->mac, HASH_LEN))
		return audit_row_damaged(u->seq + 1, e);
	u->seq = a->seq;
	memcpy(u->mac, mac, HASH_LEN);
	if (a->kind == AUDIT_SEAL)
		memcpy(u->seal, a->hash, HASH_LEN);
	if (a->kind != AUDIT_PUT && a->kind != AUDIT_REMOVE)
		return 0;
	return tree_add(&u->tree, a->seq, a->volume, a->kind == AUDIT_PUT ? a->hash : NULL, e);
}

static int upgrade(struct keystore *ks, struct upgrade *u, struct error *e)
{
	const struct store_audit_query all = { 0 };
	struct store_audit row = { .kind = AUDIT_SEAL, .action = "upgrade", .detail = "a newer kvmcrypt" };
	struct store *s = ks->store;
	struct audit_head head;
	uint64_t records = 0;
	int r = audit_head_read(s, u->key, &head, e);
	if (r < 0 || (r = store_audit_each(s, &all, visit, u, e)) < 0)
		return r;
	if (u->seq != head.seq || !secret_same(u->mac, head.mac, HASH_LEN))
		return audit_row_damaged(head.seq, e);
	if ((r = seal_digest_by_hash(ks->dir, u->seal, row.hash, e)) < 0 || (r = store_upgrade(s, e)) < 0 ||
	    (r = tree_make(s, &u->tree, head.tree, &records, e)) < 0)
		return r;
	if (records != head.volumes)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the audit trail has %llu records, its head says %llu; run `kvmcrypt keystore check`",
				 (unsigned long long)records, (unsigned long long)head.volumes);
	r = audit_extend(s, u->key, &row, &head, e);
	return r < 0 ? r : audit_head_write(s, u->key, &head, e);
}

int keystore_upgrade(struct keystore *ks, struct error *e)
{
	CLEANUP(upgrade_clear) struct upgrade u = { .key = ks->audit_key };
	struct audit_head head;
	struct error why = { 0 };
	int r = audit_head_read(ks->store, NULL, &head, &why);
	/* One that is being made has none; a malformed one is for whoever reads it to tell of. */
	if (r < 0 || !head.old)
		return r < 0 && why.kind != ERROR_DAMAGED ? error_pass(e, &why) : 0;
	return upgrade(ks, &u, e);
}
