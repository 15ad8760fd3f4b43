/* Verifies everything against everything: records, audit trail, seal, database. */
#include "keystore/internal.h"

#include "keystore/record/envelope.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHANGES (1u << AUDIT_PUT | 1u << AUDIT_REMOVE)

struct check {
	struct keystore *ks;
	void (*fn)(void *ctx, const char *finding);
	void *ctx;
	uint64_t findings, records, rows;

	/* the chain so far */
	uint64_t seq;
	unsigned char mac[HASH_LEN];

	/* the head the caller noted earlier */
	uint64_t noted_seq;
	unsigned char noted_mac[HASH_LEN];
	bool noted_seen;
};

/* Goes through an error, which makes foreign text printable. */
static void __attribute__((format(printf, 2, 3))) finding(struct check *c, const char *fmt, ...)
{
	struct error e;
	char text[sizeof(e.message)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&e, ERROR_DAMAGED, EBADMSG, "%s", text);
	c->findings++;
	if (c->fn)
		c->fn(c->ctx, e.message);
}

/* Damage is what we are here to tell of and no reason to stop, nor is what a newer kvmcrypt wrote; other errors are. */
static int absorb(struct check *c, int r, const struct error *e)
{
	if (r >= 0 || (e->kind != ERROR_DAMAGED && r != -ENOTSUP))
		return r;
	finding(c, "%s", e->message);
	return 0;
}

static int parse_noted(struct check *c, const char *text, struct error *e)
{
	char *end = NULL;
	if (!text)
		return 0;
	errno = 0;
	c->noted_seq = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
	if (!c->noted_seq || errno || *end != ':' || strlen(++end) != 2 * HASH_LEN)
		goto bad;
	for (size_t i = 0; i < HASH_LEN; i++) {
		unsigned byte;
		if (!isxdigit((unsigned char)end[2 * i]) || !isxdigit((unsigned char)end[2 * i + 1]) ||
		    sscanf(end + 2 * i, "%2x", &byte) != 1)
			goto bad;
		c->noted_mac[i] = (unsigned char)byte;
	}
	return 0;
bad:
	return error_set(e, ERROR_USAGE, EINVAL,
			 "'%s' is not the head of an audit trail (SEQ:HEX, as `kvmcrypt keystore status` shows)",
			 text);
}

/* ---- audit rows ---- */

static int exists(void *ctx, const struct store_record *row, struct error *e)
{
	(void)row, (void)e;
	*(bool *)ctx = true;
	return 0;
}

/* A record that was stored and not removed must be there. */
static int check_put(struct check *c, const struct store_audit *a, struct error *e)
{
	struct store *s = c->ks->store;
	struct store_audit newest;
	char name[UUID_STR_LEN];
	bool found = false, there = false;
	int r = audit_newest(s, NULL, a->volume, CHANGES, &found, &newest, e);
	if (r < 0 || !found || newest.seq != a->seq)
		return r;
	if ((r = store_find(s, STORE_BY_UUID, a->volume, exists, &there, e)) < 0)
		return r;
	uuid_unparse_lower(a->volume, name);
	if (!there)
		finding(c, "the record of volume %s is gone, but row %llu of the audit trail says it was stored",
			name, (unsigned long long)a->seq);
	return 0;
}

static int check_row(void *ctx, const struct store_audit *a, struct error *e)
{
	struct check *c = ctx;
	unsigned char mac[HASH_LEN] = { 0 };
	unsigned long long seq = a->seq;
	if (a->seq != c->seq + 1)
		finding(c, "the audit trail has a gap: row %llu follows row %llu", seq,
			(unsigned long long)c->seq);
	int r = absorb(c, audit_row_mac(c->ks->audit_key, c->mac, a, mac, e), e);
	if (r < 0)
		return r;
	if (!secret_same(mac, a->mac, HASH_LEN))
		finding(c, "row %llu of the audit trail was changed, or a row before it", seq);
	if (a->seq == c->noted_seq) {
		c->noted_seen = true;
		if (!secret_same(a->mac, c->noted_mac, HASH_LEN))
			finding(c, "row %llu of the audit trail is not the one that was noted", seq);
	}
	c->seq = a->seq;
	memcpy(c->mac, a->mac, HASH_LEN);
	c->rows++;
	if (a->kind != AUDIT_PUT)
		return 0;
	return absorb(c, check_put(c, a, e), e);
}

static int check_trail(struct check *c, struct error *e)
{
	struct store *s = c->ks->store;
	const struct store_audit_query all = { 0 };
	struct audit_head head = { 0 };
	int r = store_audit_each(s, &all, check_row, c, e);
	bool whole = r == 0;
	if ((r = absorb(c, r, e)) < 0)
		return r;
	r = audit_head_read(s, c->ks->audit_key, &head, e);
	if (r == 0 && (head.seq != c->seq || memcmp(head.mac, c->mac, HASH_LEN)) && whole)
		finding(c, "the audit trail ends with row %llu, its head names row %llu",
			(unsigned long long)c->seq, (unsigned long long)head.seq);
	if (r == 0 && head.volumes != c->records)
		finding(c, "the store has %llu records, the head of the audit trail says %llu",
			(unsigned long long)c->records, (unsigned long long)head.volumes);
	if ((r = absorb(c, r, e)) < 0)
		return r;
	if (c->noted_seq && !c->noted_seen)
		finding(c, "row %llu, noted earlier, is missing: the keystore was set back to an older state",
			(unsigned long long)c->noted_seq);
	return 0;
}

/* ---- records ---- */

static int check_last_used(struct check *c, const struct store_record *row, struct error *e)
{
	struct store_audit use;
	bool found = false;
	int r = audit_newest(c->ks->store, NULL, row->uuid, 1u << AUDIT_USE, &found, &use, e);
	if (r == 0 && row->last_used != (found ? use.when : 0))
		finding(c, "%s: its time of last use is not that of the audit trail", row->path);
	return r;
}

static int check_one(struct check *c, const struct store_record *row, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct keystore *ks = c->ks;
	int res = envelope_parse(row->envelope, row->envelope_len, &r, e);
	if (res < 0)
		return error_prefix(e, "%s", row->path);
	if ((res = keystore_match_row(row, r, e)) < 0 ||
	    (res = envelope_open(ks->root, ks->root_id, r, true, e)) < 0 ||
	    (res = keystore_check_fresh(ks, r, e)) < 0)
		return res;
	return check_last_used(c, row, e);
}

static int check_record(void *ctx, const struct store_record *row, struct error *e)
{
	struct check *c = ctx;
	c->records++;
	return absorb(c, check_one(c, row, e), e);
}

/* ---- seal and database ---- */

/* What the seal has, so that a person can tell whether it is his. */
static int find_unfit(struct check *c, struct seal *seal, struct error *e)
{
	AUTOFREE char *text = NULL;
	struct slot *slots = NULL;
	size_t n = 0;
	int r = seal_slots(seal, &slots, &n, e);
	if (r < 0)
		return r;
	r = slots_describe(slots, n, NULL, NULL, &text, e);
	slots_free(slots, n);
	if (r == 0)
		finding(c, "the seal is not the one that was stored last: an older one was put back, or another "
			   "program changed it; it has %s", text);
	return r;
}

/* In the store of an older kvmcrypt its row has the hash of the file. */
static int old_seal_fits(struct check *c, struct seal *seal, bool *ret, struct error *e)
{
	unsigned char by_hash[HASH_LEN], digest[HASH_LEN];
	struct store_audit row;
	bool found = false;
	int r = audit_newest(c->ks->store, NULL, NULL, 1u << AUDIT_SEAL, &found, &row, e);
	if (r < 0 || (r = seal_digest(seal, digest, e)) < 0)
		return r;
	*ret = found && seal_digest_by_hash(c->ks->dir, row.hash, by_hash, NULL) == 0 &&
	       !memcmp(digest, by_hash, HASH_LEN);
	return 0;
}

static int check_seal(struct check *c, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	struct keystore *ks = c->ks;
	struct audit_head head = { 0 };
	struct error why = { 0 };
	uuid_t id;
	bool fits = true;
	int r = seal_snapshot(ks->dir, &seal, e);
	if (r < 0 || (r = seal_root_id(seal, id, e)) < 0)
		return r;
	if (uuid_compare(id, ks->root_id))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is that of another keystore");
	if ((r = seal_verify(seal, ks->root, e)) < 0)
		return r;
	if (audit_head_read(ks->store, NULL, &head, NULL) == 0 && head.old)
		r = old_seal_fits(c, seal, &fits, e);
	else if (keystore_seal_fits(ks, seal, &why) < 0)
		fits = false;
	return r < 0 || fits ? r : find_unfit(c, seal, e);
}

/*
 * Begins the transaction and compares the seal with it, under the seal's lock: no slot may change
 * between the trail and the file. Also finishes a change that was interrupted.
 */
static int begin_with_seal(struct check *c, struct error *e)
{
	AUTOCLOSE int lock = -1;
	struct keystore *ks = c->ks;
	int r = seal_lock(ks->dir, true, &lock, e);
	if (r == 0)
		r = absorb(c, keystore_finish_swap(ks, e), e);
	if (r < 0 || (r = store_begin(ks->store, false, e)) < 0)
		return r;
	return absorb(c, check_seal(c, e), e);
}

static void store_finding(void *ctx, const char *text)
{
	finding(ctx, "database: %s", text);
}

static int check_all(struct check *c, struct error *e)
{
	struct store *s = c->ks->store;
	int r = begin_with_seal(c, e);
	if (r == 0)
		r = absorb(c, store_verify(s, store_finding, c, e), e);
	if (r == 0)
		r = absorb(c, store_each(s, check_record, c, e), e);
	if (r == 0)
		r = check_trail(c, e);
	store_rollback(s);
	return r;
}

int keystore_check(struct keystore *ks, const char *expect_head,
		   void (*fn)(void *ctx, const char *finding), void *ctx, uint64_t *ret_records,
		   uint64_t *ret_rows, struct error *e)
{
	struct check c = { .ks = ks, .fn = fn, .ctx = ctx };
	struct error why = { 0 }; /* absorb() needs one even where the caller has none */
	int r = keystore_need_root(ks, &why);
	if (r < 0 || (r = parse_noted(&c, expect_head, &why)) < 0 || (r = check_all(&c, &why)) < 0) {
		if (e)
			*e = why;
		return r;
	}
	if (ret_records)
		*ret_records = c.records;
	if (ret_rows)
		*ret_rows = c.rows;
	if (c.findings)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the keystore %s was damaged or tampered with (%llu finding%s)", ks->path,
				 (unsigned long long)c.findings, c.findings == 1 ? "" : "s");
	return 0;
}
