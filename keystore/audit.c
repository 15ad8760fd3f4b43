#include "keystore/audit.h"

#include "keystore/record/tlv.h"

#include <string.h>
#include <time.h>

#define HEAD "audit_head"
#define HEAD_LEN (8 + HASH_LEN + 8 + HASH_LEN)

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

/* The head vouches for the last row and for the number of records. */
static int head_mac(const struct secret *key, const unsigned char *head, unsigned char ret[HASH_LEN],
		    struct error *e)
{
	static const char label[] = "head";
	unsigned char buf[sizeof(label) + HEAD_LEN - HASH_LEN];
	memcpy(buf, label, sizeof(label));
	memcpy(buf + sizeof(label), head, HEAD_LEN - HASH_LEN);
	return kdf_hmac(key, buf, sizeof(buf), ret, e);
}

int audit_head_read(struct store *s, const struct secret *key, struct audit_head *ret,
		    struct error *e)
{
	unsigned char head[HEAD_LEN], mac[HASH_LEN];
	size_t len = sizeof(head);
	int r = store_meta_get(s, HEAD, head, &len, e);
	if (r < 0)
		return r;
	if (len != HEAD_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the head of the audit trail is malformed");
	if (key) {
		if ((r = head_mac(key, head, mac, e)) < 0)
			return r;
		if (!secret_same(mac, head + HEAD_LEN - HASH_LEN, HASH_LEN))
			return error_set(e, ERROR_DAMAGED, EBADMSG,
					 "the head of the audit trail was changed; run `kvmcrypt keystore check` (its "
					 "--repair accepts what is there)");
	}
	ret->seq = get_be(head, 8);
	memcpy(ret->mac, head + 8, HASH_LEN);
	ret->volumes = get_be(head + 8 + HASH_LEN, 8);
	return 0;
}

int audit_head_write(struct store *s, const struct secret *key, const struct audit_head *h,
		     struct error *e)
{
	unsigned char head[HEAD_LEN];
	put_be(head, h->seq, 8);
	memcpy(head + 8, h->mac, HASH_LEN);
	put_be(head + 8 + HASH_LEN, h->volumes, 8);
	int r = head_mac(key, head, head + HEAD_LEN - HASH_LEN, e);
	return r < 0 ? r : store_meta_put(s, HEAD, head, sizeof(head), e);
}

int audit_append(struct store *s, const struct secret *key, struct store_audit *row, int added,
		 struct error *e)
{
	struct audit_head h = { 0 };
	int r;
	if (!row->action || !row->action[0] || strlen(row->action) > AUDIT_ACTION_MAX ||
	    (row->detail && strlen(row->detail) > AUDIT_DETAIL_MAX))
		return error_set(e, ERROR_USAGE, EINVAL, "an action or detail is too long for the audit trail");
	/* The first row of a new store has no head before it. */
	if (row->seq != 1 && (r = audit_head_read(s, key, &h, e)) < 0)
		return r;
	row->seq = h.seq + 1;
	row->when = time(NULL);
	row->uid = getuid();
	row->pid = getpid();
	r = audit_row_mac(key, h.mac, row, row->mac, e);
	if (r < 0 || (r = store_audit_append(s, row, e)) < 0)
		return r;
	h.seq = row->seq;
	memcpy(h.mac, row->mac, HASH_LEN);
	h.volumes += (uint64_t)(int64_t)added;
	return audit_head_write(s, key, &h, e);
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
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "row %llu of the audit trail was changed; run `kvmcrypt keystore check` (its --repair "
				 "accepts what is there)",
				 (unsigned long long)a->seq);
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
