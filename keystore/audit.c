#include "keystore/audit.h"

#include "keystore/record/tlv.h"
#include "keystore/tree.h"

#include <string.h>
#include <time.h>

#define HEAD "audit_head"
#define OLD_HEAD_LEN (8 + HASH_LEN + 8 + HASH_LEN)	/* of schema version 1: no tree, no seal */
#define HEAD_LEN (8 + HASH_LEN + 8 + HASH_LEN + HASH_LEN + HASH_LEN)

int audit_key(const struct secret *root, struct secret **ret, struct error *e)
{
	static const char info[] = "kvmcrypt audit v1";
	return kdf_derive(root, NULL, 0, info, sizeof(info) - 1, HASH_LEN, ret, e);
}

/* A length before each text keeps "ab","c" and "a","bc" apart; NULL is the length that no text has. */
static unsigned char *put_text(unsigned char *p, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	put_be(p, text ? len : UINT32_MAX, 4);
	return text ? mempcpy(p + 4, text, len) : p + 4;
}

int audit_row_mac(const struct secret *key, const unsigned char before[HASH_LEN],
		  const struct store_audit *row, unsigned char ret[HASH_LEN], struct error *e)
{
	static const char label[] = "row";
	unsigned char buf[256 + AUDIT_ACTION_MAX + AUDIT_DETAIL_MAX], *p = buf;
	if (!row->action || strlen(row->action) > AUDIT_ACTION_MAX ||
	    (row->detail && strlen(row->detail) > AUDIT_DETAIL_MAX))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "row %llu of the audit trail is too long",
				 (unsigned long long)row->seq);
	p = mempcpy(p, label, sizeof(label));
	p = mempcpy(p, before, HASH_LEN);
	put_be(p, row->seq, 8);
	put_be(p + 8, (uint64_t)row->when, 8);
	put_be(p + 16, row->uid, 4);
	put_be(p + 20, (uint64_t)row->pid, 4);
	put_be(p + 24, row->kind, 4);
	p = mempcpy(p + 28, row->volume, sizeof(uuid_t));
	put_be(p, row->revision, 8);
	p = mempcpy(p + 8, row->hash, HASH_LEN);
	p = put_text(p, row->action);
	p = put_text(p, row->detail);
	return kdf_hmac(key, buf, (size_t)(p - buf), ret, e);
}

/* The head vouches for the last row, the number of records, the newest record of each volume, and the seal. */
static int head_mac(const struct secret *key, const unsigned char *head, size_t len, unsigned char ret[HASH_LEN],
		    struct error *e)
{
	const char *label = len == HEAD_LEN ? "head2" : "head";
	size_t label_len = strlen(label) + 1;
	unsigned char buf[8 + HEAD_LEN];
	memcpy(buf, label, label_len);
	memcpy(buf + label_len, head, len - HASH_LEN);
	return kdf_hmac(key, buf, label_len + len - HASH_LEN, ret, e);
}

static int verify_head(const struct secret *key, const unsigned char *head, size_t len, struct error *e)
{
	unsigned char mac[HASH_LEN];
	int r = head_mac(key, head, len, mac, e);
	if (r == 0 && !secret_same(mac, head + len - HASH_LEN, HASH_LEN))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the head of the audit trail was changed; run `kvmcrypt keystore check` (its "
				 "--repair accepts what is there)");
	return r;
}

int audit_head_read(struct store *s, const struct secret *key, struct audit_head *ret,
		    struct error *e)
{
	unsigned char head[HEAD_LEN];
	size_t len = sizeof(head);
	int r = store_meta_get(s, HEAD, head, &len, e);
	if (r < 0)
		return r;
	if (len != HEAD_LEN && len != OLD_HEAD_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the head of the audit trail is malformed");
	if (key && (r = verify_head(key, head, len, e)) < 0)
		return r;
	*ret = (struct audit_head){ .seq = get_be(head, 8), .volumes = get_be(head + 8 + HASH_LEN, 8),
				    .old = len == OLD_HEAD_LEN };
	memcpy(ret->mac, head + 8, HASH_LEN);
	if (!ret->old) {
		memcpy(ret->tree, head + 16 + HASH_LEN, HASH_LEN);
		memcpy(ret->seal, head + 16 + 2 * HASH_LEN, HASH_LEN);
	}
	return 0;
}

int audit_head_write(struct store *s, const struct secret *key, const struct audit_head *h,
		     struct error *e)
{
	unsigned char head[HEAD_LEN];
	put_be(head, h->seq, 8);
	memcpy(head + 8, h->mac, HASH_LEN);
	put_be(head + 8 + HASH_LEN, h->volumes, 8);
	memcpy(head + 16 + HASH_LEN, h->tree, HASH_LEN);
	memcpy(head + 16 + 2 * HASH_LEN, h->seal, HASH_LEN);
	int r = head_mac(key, head, sizeof(head), head + HEAD_LEN - HASH_LEN, e);
	return r < 0 ? r : store_meta_put(s, HEAD, head, sizeof(head), e);
}

int audit_extend(struct store *s, const struct secret *key, struct store_audit *row, struct audit_head *h,
		 struct error *e)
{
	if (!row->action || !row->action[0] || strlen(row->action) > AUDIT_ACTION_MAX ||
	    (row->detail && strlen(row->detail) > AUDIT_DETAIL_MAX))
		return error_set(e, ERROR_USAGE, EINVAL, "an action or detail is too long for the audit trail");
	row->seq = h->seq + 1;
	row->when = time(NULL);
	row->uid = getuid();
	row->pid = getpid();
	int r = audit_row_mac(key, h->mac, row, row->mac, e);
	if (r < 0 || (r = store_audit_append(s, row, e)) < 0)
		return r;
	h->seq = row->seq;
	memcpy(h->mac, row->mac, HASH_LEN);
	if (row->kind == AUDIT_SEAL)
		memcpy(h->seal, row->hash, HASH_LEN);
	return 0;
}

int audit_append(struct store *s, const struct secret *key, struct store_audit *row, int added,
		 struct error *e)
{
	struct audit_head h = { 0 };
	int r = 0;
	/* The first row of a new store has no head before it. */
	if (row->seq != 1 && (r = audit_head_read(s, key, &h, e)) < 0)
		return r;
	if (h.old)
		return error_set(e, ERROR_FAILED, EPROTO, "the store is still that of an older kvmcrypt");
	r = audit_extend(s, key, row, &h, e);
	if (r == 0 && (row->kind == AUDIT_PUT || row->kind == AUDIT_REMOVE))
		r = tree_set(s, h.tree, row->volume, row->kind == AUDIT_PUT ? row->hash : NULL, e);
	if (r < 0)
		return r;
	h.volumes += (uint64_t)(int64_t)added;
	return audit_head_write(s, key, &h, e);
}

/* ---- the tree made from the trail ---- */

static int take_change(void *ctx, const struct store_audit *a, struct error *e)
{
	return tree_add(ctx, a->seq, a->volume, a->kind == AUDIT_PUT ? a->hash : NULL, e);
}

int audit_make_tree(struct store *s, struct audit_head *h, uint64_t *ret_n, struct error *e)
{
	CLEANUP(tree_entries_clear) struct tree_entries t = { 0 };
	/* All of the table: an index may leave rows out. */
	const struct store_audit_query changes = { .kinds = 1u << AUDIT_PUT | 1u << AUDIT_REMOVE };
	int r = store_audit_each(s, &changes, take_change, &t, e);
	return r < 0 ? r : tree_make(s, &t, h->tree, ret_n, e);
}

/* ---- single rows ---- */

int audit_row_damaged(uint64_t seq, struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG,
			 "row %llu of the audit trail was changed; run `kvmcrypt keystore check` (its --repair "
			 "accepts what is there)", (unsigned long long)seq);
}

struct newest {
	struct store *store;
	const struct secret *key;
	bool found;
	struct store_audit row;
};

static int keep_mac(void *ctx, const struct store_audit *a, struct error *e)
{
	(void)e;
	memcpy(ctx, a->mac, HASH_LEN);
	return 1;
}

/* The MAC of one row alone, against that of the row before it. */
static int verify_row(const struct newest *n, const struct store_audit *a, struct error *e)
{
	unsigned char before[HASH_LEN] = { 0 }, mac[HASH_LEN];
	const struct store_audit_query q = { .first = a->seq - 1 };
	int r = a->seq > 1 ? store_audit_each(n->store, &q, keep_mac, before, e) : 0;
	if (r < 0 || (r = audit_row_mac(n->key, before, a, mac, e)) < 0)
		return r;
	if (!secret_same(mac, a->mac, HASH_LEN))
		return audit_row_damaged(a->seq, e);
	return 0;
}

static int keep_row(void *ctx, const struct store_audit *a, struct error *e)
{
	struct newest *n = ctx;
	int r = n->key ? verify_row(n, a, e) : 0;
	n->found = true;
	n->row = *a;
	n->row.action = n->row.detail = NULL;
	return r;
}

int audit_newest(struct store *s, const struct secret *key, const unsigned char *volume,
		 unsigned kinds, bool *ret_found, struct store_audit *ret, struct error *e)
{
	struct newest n = { .store = s, .key = key };
	const struct store_audit_query q = { .newest = 1, .volume = volume, .kinds = kinds };
	int r = store_audit_each(s, &q, keep_row, &n, e);
	if (r < 0)
		return r;
	*ret_found = n.found;
	if (n.found)
		*ret = n.row;
	return 0;
}
