/*
 * Takes a keystore whose audit trail does not verify as it is, so that its keys can be used again. It
 * makes nothing undone: what was changed stays changed, and what cannot be known any more is said in
 * the new trail. One transaction.
 */
#include "keystore/internal.h"

#include "base/list.h"
#include "base/text.h"
#include "keystore/record/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 1024
#define GAP_MAX 100000	/* more missing rows than that are no gap but another number */
#define NAMED_MAX 20	/* rows that the new row names; the others it counts */
#define CHANGES (1u << AUDIT_PUT | 1u << AUDIT_REMOVE)

struct repair {
	struct keystore *ks;
	uint64_t seq;				/* the last row of the new chain, */
	unsigned char mac[HASH_LEN];		/* its new MAC, */
	unsigned char stored[HASH_LEN];		/* and the one it had */

	struct {
		uint64_t seq;
		unsigned char mac[HASH_LEN];
	} chunk[CHUNK];
	size_t n_chunk;
	uint64_t gap_to;			/* rows from seq + 1 to before this one are missing */

	struct audit_head head;			/* of the new chain */
	unsigned char seal[HASH_LEN];		/* the digest that was stored last */
	bool seal_known;
	uint64_t records, bad_rows, lost_rows, accepted, removed, unreadable;
	char named[NAMED_MAX * 24];
	uuid_t *gone;
	size_t n_gone;
};

static void repair_clear(struct repair *p)
{
	free(p->gone);
}

static void name_row(struct repair *p, uint64_t seq)
{
	size_t len = strlen(p->named);
	if (++p->bad_rows <= NAMED_MAX)
		snprintf(p->named + len, sizeof(p->named) - len, "%s%llu", len ? ", " : "", (unsigned long long)seq);
}

/* ---- the rows ---- */

static int exists(void *ctx, const struct store_record *row, struct error *e)
{
	(void)row, (void)e;
	*(bool *)ctx = true;
	return 0;
}

/* A record that was stored last and is not there: the new trail has to say that it is gone. */
static int look_for_record(struct repair *p, const struct store_audit *a, struct error *e)
{
	struct store *s = p->ks->store;
	struct store_audit newest;
	bool found = false, there = false;
	int r = audit_newest(s, NULL, a->volume, CHANGES, &found, &newest, e);
	if (r < 0 || !found || newest.seq != a->seq)
		return r;
	if ((r = store_find(s, STORE_BY_UUID, a->volume, exists, &there, e)) < 0 || there)
		return r;
	if (!list_grow(p->gone, p->n_gone))
		return error_oom(e);
	uuid_copy(p->gone[p->n_gone++], a->volume);
	return 0;
}

static int visit_row(void *ctx, const struct store_audit *a, struct error *e)
{
	struct repair *p = ctx;
	unsigned char mac[HASH_LEN];
	if (p->n_chunk == CHUNK)
		return 1;
	if (a->seq != p->seq + 1) {
		p->gap_to = a->seq;
		return 1;
	}
	int r = audit_row_mac(p->ks->audit_key, p->stored, a, mac, e);
	if (r < 0)
		return r;
	if (!secret_same(mac, a->mac, HASH_LEN))
		name_row(p, a->seq);
	if ((r = audit_row_mac(p->ks->audit_key, p->mac, a, mac, e)) < 0)
		return r;
	p->seq = a->seq;
	memcpy(p->stored, a->mac, HASH_LEN);
	memcpy(p->mac, mac, HASH_LEN);
	if (memcmp(mac, a->mac, HASH_LEN)) {
		p->chunk[p->n_chunk].seq = a->seq;
		memcpy(p->chunk[p->n_chunk++].mac, mac, HASH_LEN);
	}
	return a->kind == AUDIT_PUT ? look_for_record(p, a, e) : 0;
}

static int write_chunk(struct repair *p, struct error *e)
{
	struct store *s = p->ks->store;
	for (size_t i = 0; i < p->n_chunk; i++) {
		int r = store_audit_remac(s, p->chunk[i].seq, p->chunk[i].mac, e);
		if (r < 0)
			return r;
	}
	p->n_chunk = 0;
	return 0;
}

/* Rows are numbered without a gap, so each missing one gets a row that says that it is missing. */
static int fill_gap(struct repair *p, struct error *e)
{
	struct store *s = p->ks->store;
	if (p->gap_to <= p->seq || p->gap_to - p->seq > GAP_MAX)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "row %llu of the audit trail follows row %llu: too much is missing to be repaired",
				 (unsigned long long)p->gap_to, (unsigned long long)p->seq);
	while (p->seq + 1 < p->gap_to) {
		struct store_audit row = { .seq = p->seq + 1, .kind = AUDIT_EVENT, .action = "row-lost" };
		int r = audit_row_mac(p->ks->audit_key, p->mac, &row, row.mac, e);
		if (r < 0 || (r = store_audit_append(s, &row, e)) < 0)
			return r;
		p->seq++;
		p->lost_rows++;
		memcpy(p->mac, row.mac, HASH_LEN);
	}
	p->gap_to = 0;
	return 0;
}

static int chain_anew(struct repair *p, struct error *e)
{
	struct store *s = p->ks->store;
	int r;
	do {
		const struct store_audit_query rest = { .first = p->seq + 1 };
		r = store_audit_each(s, &rest, visit_row, p, e);
		if (r >= 0) {
			int w = write_chunk(p, e);
			if (w == 0 && p->gap_to)
				w = fill_gap(p, e);
			if (w < 0)
				return w;
		}
	} while (r == 1);
	return r;
}

/* ---- the records ---- */

static int accept(struct repair *p, const struct record *r, struct error *e)
{
	struct store_audit row = { .kind = AUDIT_PUT, .action = "repair", .revision = r->revision,
				   .detail = "accepted as it was found: it may be an older one" };
	uuid_copy(row.volume, r->uuid);
	kdf_sha256(r->envelope, r->envelope_len, row.hash);
	p->accepted++;
	return audit_extend(p->ks->store, p->ks->audit_key, &row, &p->head, e);
}

/* By the trail, which has been read row by row; the tree is made from it afterwards. */
static int is_newest(struct keystore *ks, const struct record *r, bool *ret, struct error *e)
{
	unsigned char hash[HASH_LEN];
	struct store_audit row;
	bool found = false;
	kdf_sha256(r->envelope, r->envelope_len, hash);
	int res = audit_newest(ks->store, NULL, r->uuid, CHANGES, &found, &row, e);
	*ret = found && row.kind == AUDIT_PUT && row.revision == r->revision && !memcmp(row.hash, hash, HASH_LEN);
	return res;
}

static int visit_record(void *ctx, const struct store_record *row, struct error *e)
{
	struct repair *p = ctx;
	struct keystore *ks = p->ks;
	AUTORECORD struct record *r = NULL;
	struct store_audit use;
	struct error why = { 0 };
	bool found = false, newest = false;
	if (envelope_parse(row->envelope, row->envelope_len, &r, &why) < 0 || keystore_match_row(row, r, &why) < 0 ||
	    envelope_open(ks->root, ks->root_id, r, false, &why) < 0) {
		p->unreadable++;
		return why.kind == ERROR_DAMAGED || why.err == ENOTSUP ? 0 : error_pass(e, &why);
	}
	int res = is_newest(ks, r, &newest, e);
	if (res == 0 && !newest)
		res = accept(p, r, e);
	if (res == 0)
		res = audit_newest(ks->store, NULL, row->uuid, 1u << AUDIT_USE, &found, &use, e);
	if (res == 0 && row->last_used != (found ? use.when : 0))
		res = store_touch(ks->store, row->uuid, row->revision, found ? use.when : 0, e);
	return res;
}

static int say_gone(struct repair *p, struct error *e)
{
	for (size_t i = 0; i < p->n_gone; i++) {
		struct store_audit row = { .kind = AUDIT_REMOVE, .action = "repair", .detail = "its record was gone" };
		uuid_copy(row.volume, p->gone[i]);
		int r = audit_extend(p->ks->store, p->ks->audit_key, &row, &p->head, e);
		if (r < 0)
			return r;
		p->removed++;
	}
	return 0;
}

/* ---- all of it ---- */

/* Named in its row: what is there now is what unseals from here on. */
static int accept_seal(struct repair *p, bool *ret_accepted, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	AUTOFREE char *text = NULL;
	struct keystore *ks = p->ks;
	struct slot *slots = NULL;
	struct store_audit row = { .kind = AUDIT_SEAL, .action = "repair" };
	char detail[1024];
	size_t n = 0;
	int r = seal_snapshot(ks->dir, &seal, e);
	if (r < 0 || (r = seal_verify(seal, ks->root, e)) < 0 || (r = seal_digest(seal, row.hash, e)) < 0 ||
	    (r = seal_slots(seal, &slots, &n, e)) < 0)
		return r;
	*ret_accepted = !p->seal_known || memcmp(row.hash, p->seal, HASH_LEN);
	r = slots_describe(slots, n, NULL, NULL, &text, e);
	slots_free(slots, n);
	if (r < 0)
		return r;
	snprintf(detail, sizeof(detail), "the seal was accepted as it was found, with %.960s", text);
	text_make_printable(detail);
	row.detail = detail;
	memcpy(p->head.seal, row.hash, HASH_LEN);
	return *ret_accepted ? audit_extend(ks->store, ks->audit_key, &row, &p->head, e) : 0;
}

/* The digest that was stored last, if the head can still say so, or the trail of an older kvmcrypt. */
static void recall_seal(struct repair *p, bool head_whole, const struct audit_head *head)
{
	struct store_audit row;
	bool found = false;
	if (head_whole && !head->old) {
		memcpy(p->seal, head->seal, HASH_LEN);
		p->seal_known = true;
	} else if (audit_newest(p->ks->store, NULL, NULL, 1u << AUDIT_SEAL, &found, &row, NULL) == 0 && found) {
		/* Newer rows have the digest, older ones the hash of the file. */
		memcpy(p->seal, row.hash, HASH_LEN);
		p->seal_known = true;
		seal_digest_by_hash(p->ks->dir, row.hash, p->seal, NULL);
	}
}

static int count(void *ctx, const struct store_record *row, struct error *e)
{
	(void)row, (void)e;
	++*(uint64_t *)ctx;
	return 0;
}

static int repair_all(struct keystore *ks, void *ctx, struct error *e)
{
	CLEANUP(repair_clear) struct repair p = { .ks = ks };
	struct store *s = ks->store;
	struct audit_head head = { 0 };
	char detail[1024], named[24] = "? (it was changed)";
	uint64_t in_tree = 0;
	bool seal = false, whole = audit_head_read(s, ks->audit_key, &head, NULL) == 0;
	/* What a sound head says is worth a word: rows behind the last one may have been removed. */
	if (whole)
		snprintf(named, sizeof(named), "%llu", (unsigned long long)head.seq);
	recall_seal(&p, whole, &head);
	int r = store_upgrade(s, e);
	/* Its questions about single volumes are asked of an index, which may leave rows out. */
	if (r < 0 || (r = store_reindex(s, e)) < 0 || (r = chain_anew(&p, e)) < 0 ||
	    (r = store_each(s, count, &p.records, e)) < 0)
		return r;
	p.head = (struct audit_head){ .seq = p.seq, .volumes = p.records };
	memcpy(p.head.mac, p.mac, HASH_LEN);
	uint64_t last = p.seq;
	if ((r = store_each(s, visit_record, &p, e)) < 0 || (r = say_gone(&p, e)) < 0 ||
	    (r = accept_seal(&p, &seal, e)) < 0)
		return r;
	snprintf(detail, sizeof(detail),
		 "rows that did not verify: %s%s; rows lost: %llu; the head named row %s, the last was %llu; records "
		 "accepted as found: %llu, gone: %llu, damaged still: %llu; seal %s",
		 p.named[0] ? p.named : "none", p.bad_rows > NAMED_MAX ? " and more" : "",
		 (unsigned long long)p.lost_rows, named, (unsigned long long)last, (unsigned long long)p.accepted,
		 (unsigned long long)p.removed, (unsigned long long)p.unreadable,
		 seal ? "accepted as found" : "as it was");
	struct store_audit row = { .kind = AUDIT_EVENT, .action = "repair", .detail = detail };
	if ((r = audit_extend(s, ks->audit_key, &row, &p.head, e)) == 0 &&
	    (r = audit_make_tree(s, &p.head, &in_tree, e)) == 0)
		r = audit_head_write(s, ks->audit_key, &p.head, e);
	if (r == 0 && ctx)
		*(char **)ctx = strdup(detail);
	return r;
}

int keystore_repair(struct keystore *ks, char **ret_detail, struct error *e)
{
	AUTOCLOSE int lock = -1;
	int r = keystore_need_root(ks, e);
	/* The seal's lock too: no slot may change between the file and the row that names it. */
	if (r < 0 || (r = seal_lock(ks->dir, true, &lock, e)) < 0)
		return r;
	/* If the trail can still say how an interrupted change ended. */
	keystore_finish_swap(ks, NULL);
	return keystore_transact_as_is(ks, repair_all, ret_detail, e);
}
