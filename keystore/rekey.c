/*
 * A new root key: a new seal in the place of the old one, and everything that hangs on the root key made anew, the
 * records' envelopes and the MACs of the audit trail, in one transaction (keystore_swap_seal()).
 */
#include "keystore/internal.h"

#include "keystore/cache.h"
#include "keystore/record/envelope.h"
#include "keystore/tree.h"

#include <stdio.h>
#include <string.h>

#define CHUNK 1024

struct rekey {
	struct keystore *ks;
	const struct secret *root;	/* the new ones */
	struct secret *audit_key;
	uuid_t root_id;
	const unsigned char *seal_digest;
	const struct progress *progress;
	uint64_t done, records;
	struct audit_head head;		/* under the new key; its tree is the old one until all records are done */

	uint64_t seq;			/* the last row chained anew: its new MAC, and the one it had */
	unsigned char mac[HASH_LEN], stored[HASH_LEN];
	struct {
		uint64_t seq;
		unsigned char mac[HASH_LEN];
	} chunk[CHUNK];
	size_t n_chunk;
};

/* ---- the audit trail ---- */

static int damaged_row(uint64_t seq, struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG,
			 "row %llu of the audit trail does not verify: see `kvmcrypt keystore check` first",
			 (unsigned long long)seq);
}

static int visit_row(void *ctx, const struct store_audit *a, struct error *e)
{
	struct rekey *p = ctx;
	unsigned char mac[HASH_LEN];
	if (p->n_chunk == CHUNK)
		return 1;
	int r = a->seq == p->seq + 1 ? audit_row_mac(p->ks->audit_key, p->stored, a, mac, e) : damaged_row(a->seq, e);
	if (r < 0)
		return r;
	if (!secret_same(mac, a->mac, HASH_LEN))
		return damaged_row(a->seq, e);
	memcpy(p->stored, a->mac, HASH_LEN);
	if ((r = audit_row_mac(p->audit_key, p->mac, a, p->mac, e)) < 0)
		return r;
	p->seq = a->seq;
	p->chunk[p->n_chunk].seq = a->seq;
	memcpy(p->chunk[p->n_chunk++].mac, p->mac, HASH_LEN);
	return 0;
}

static int chain_anew(struct rekey *p, struct error *e)
{
	struct store *s = p->ks->store;
	struct audit_head head;
	int r = audit_head_read(s, p->ks->audit_key, &head, e), more;
	if (r < 0)
		return r;
	p->records = head.volumes;
	do {
		const struct store_audit_query rest = { .first = p->seq + 1 };
		more = store_audit_each(s, &rest, visit_row, p, e);
		for (size_t i = 0; more >= 0 && i < p->n_chunk; i++)
			if ((r = store_audit_remac(s, p->chunk[i].seq, p->chunk[i].mac, e)) < 0)
				return r;
		p->n_chunk = 0;
	} while (more == 1);
	if (more < 0)
		return more;
	if (p->seq != head.seq || !secret_same(p->stored, head.mac, HASH_LEN))
		return damaged_row(head.seq, e);
	memcpy(head.mac, p->mac, HASH_LEN);
	p->head = head;
	return 0;
}

/* ---- the records ---- */

static int put_anew(struct rekey *p, const struct record *r, struct error *e)
{
	AUTOFREE unsigned char *envelope = NULL;
	size_t len = 0;
	struct store *s = p->ks->store;
	struct store_record row = { .path = r->path, .revision = r->revision + 1 };
	struct store_audit audit = { .kind = AUDIT_PUT, .action = "rekey", .revision = r->revision + 1 };
	int res = envelope_seal(p->root, p->root_id, r, r->revision + 1, &envelope, &len, e);
	if (res < 0)
		return res;
	row.envelope = envelope;
	row.envelope_len = len;
	uuid_copy(row.uuid, r->uuid);
	uuid_copy(row.luks, r->luks_uuid);
	uuid_copy(audit.volume, r->uuid);
	kdf_sha256(envelope, len, audit.hash);
	if ((res = store_put(s, &row, r->revision, e)) < 0)
		return res;
	return audit_extend(s, p->audit_key, &audit, &p->head, e);
}

static int is_newest(struct rekey *p, const struct record *r, struct error *e)
{
	unsigned char hash[HASH_LEN], want[HASH_LEN];
	bool found = false;
	kdf_sha256(r->envelope, r->envelope_len, hash);
	int res = tree_get(p->ks->store, p->head.tree, r->uuid, &found, want, e);
	if (res == 0 && (!found || memcmp(hash, want, HASH_LEN)))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "an older record was put back");
	return res;
}

static int visit_record(void *ctx, const struct store_record *row, struct error *e)
{
	struct rekey *p = ctx;
	struct keystore *ks = p->ks;
	AUTORECORD struct record *r = NULL;
	int res = envelope_parse(row->envelope, row->envelope_len, &r, e);
	if (res < 0 || (res = keystore_match_row(row, r, e)) < 0 ||
	    (res = is_newest(p, r, e)) < 0 ||
	    (res = envelope_open(ks->root, ks->root_id, r, true, e)) < 0)
		return error_prefix(e, "%s (a damaged record cannot be given a new key: `kvmcrypt keystore check`)",
				    row->path);
	if ((res = put_anew(p, r, e)) < 0)
		return res;
	return progress_report(p->progress, "resealing", ++p->done, p->records)
		       ? error_set(e, ERROR_FAILED, EINTR, "interrupted")
		       : 0;
}

static int rekey_all(struct keystore *ks, void *ctx, struct error *e)
{
	struct rekey *p = ctx;
	struct store *s = ks->store;
	struct store_audit row = { .kind = AUDIT_SEAL, .action = "rekey" };
	uint64_t in_tree = 0;
	p->seq = p->done = 0;
	p->n_chunk = 0;
	memset(p->mac, 0, HASH_LEN);
	memset(p->stored, 0, HASH_LEN);
	int r = chain_anew(p, e);
	if (r < 0 || (r = store_each(s, visit_record, p, e)) < 0)
		return r;
	memcpy(row.hash, p->seal_digest, HASH_LEN);
	if ((r = audit_extend(s, p->audit_key, &row, &p->head, e)) < 0 ||
	    (r = audit_make_tree(s, &p->head, &in_tree, e)) < 0 ||
	    (r = audit_head_write(s, p->audit_key, &p->head, e)) < 0)
		return r;
	return store_meta_put(s, META_ROOT_ID, p->root_id, sizeof(uuid_t), e);
}

/* ---- the seal ---- */

/* A key file that commands find by themselves is another way than a credential. */
static bool is_kind(enum slot_type type, const char *path, const struct slot *s)
{
	return type == s->type && !path == !s->path;
}

static size_t given(const struct credential *creds, size_t n, const struct slot *s)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += is_kind(creds[i].type, creds[i].path, s);
	return count;
}

/* Which one of its kind it is, from 1. */
static size_t number_of(const struct slot *slots, size_t i)
{
	size_t number = 0;
	for (size_t k = 0; k <= i; k++)
		number += is_kind(slots[k].type, slots[k].path, &slots[i]);
	return number;
}

/* Which ways would be lost? Each is opened by something that only a person has. */
static int check_lost(const struct slot *old, size_t n_old, const struct credential *creds, size_t n, struct error *e)
{
	char lost[400] = "";
	for (size_t i = 0; i < n_old; i++) {
		size_t len = strlen(lost);
		if (slot_works_alone(&old[i], NULL) || given(creds, n, &old[i]) >= number_of(old, i))
			continue;
		snprintf(lost + len, sizeof(lost) - len, "%sslot %d (%s%s%.40s)", len ? ", " : "", old[i].slot,
			 slot_type_name(old[i].type), old[i].label ? ", " : "", old[i].label ? old[i].label : "");
	}
	if (!*lost)
		return 0;
	return error_set(e, ERROR_REFUSED, EPERM,
			 "a new root key needs what opens %s once more: give it as an option, or --drop-others to lose "
			 "these ways to unseal", lost);
}

struct givens {
	const struct credential *creds;
	size_t n;
};

/* What works without a person is taken over; of a type that was given, only what was given. */
static bool is_carried(const struct slot *s, void *ctx)
{
	const struct givens *g = ctx;
	return slot_works_alone(s, NULL) && !given(g->creds, g->n, s);
}

static int describe_carried(const struct slot *old, size_t n_old, const struct credential *creds, size_t n, char **ret,
			    struct error *e)
{
	return slots_describe(old, n_old, is_carried, &(struct givens){ creds, n }, ret, e);
}

int keystore_rekey_carries(struct keystore *ks, const struct credential *creds, size_t n, bool drop_others, char **ret,
			   struct error *e)
{
	struct slot *old = NULL;
	size_t n_old = 0;
	int r = keystore_need_root(ks, e);
	if (r < 0 || (r = keystore_slots(ks, &old, &n_old, e)) < 0)
		return r;
	if (!drop_others)
		r = check_lost(old, n_old, creds, n, e);
	if (r == 0)
		r = describe_carried(old, n_old, creds, n, ret, e);
	slots_free(old, n_old);
	return r;
}

static int check_carried(const struct slot *old, size_t n_old, const struct credential *creds, size_t n,
			 const char *confirmed, struct error *e)
{
	AUTOFREE char *now = NULL;
	int r = describe_carried(old, n_old, creds, n, &now, e);
	if (r == 0 && strcmp(now, confirmed) != 0)
		return error_set(e, ERROR_BUSY, ESTALE, "the slots were changed just now: run the command again");
	return r;
}

static int carry_over(struct seal *seal, const struct secret *root, const struct slot *old, size_t n_old,
		      const struct credential *creds, size_t n, struct error *e)
{
	struct givens givens = { creds, n };
	int slot = -1, r = 0;
	for (size_t i = 0; i < n_old && r == 0; i++) {
		if (!is_carried(&old[i], &givens))
			continue;
		const struct credential c = { .type = old[i].type, .path = old[i].path, .label = old[i].label,
					      .params = &old[i].params };
		r = seal_add(seal, root, &c, &slot, e);
		if (r < 0)
			error_prefix(e, "slot %d (%s)", old[i].slot, slot_type_name(old[i].type));
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = seal_add(seal, root, &creds[i], &slot, e);
	return r;
}

static int make_seal(struct rekey *p, const struct slot *old, size_t n_old, const struct credential *creds, size_t n,
		     struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	struct slot *slots = NULL;
	size_t count = 0;
	int r = seal_create(p->ks->dir, p->root, p->root_id, &seal, e);
	if (r < 0 || (r = carry_over(seal, p->root, old, n_old, creds, n, e)) < 0 ||
	    (r = seal_slots(seal, &slots, &count, e)) < 0)
		return r;
	slots_free(slots, count);
	if (!count)
		return error_set(e, ERROR_REFUSED, EPERM, "no way to unseal would be left: give one");
	seal_supersede(seal);
	*ret = TAKE_PTR(seal);
	return 0;
}

static int rekey_store(struct keystore *ks, const unsigned char digest[HASH_LEN], void *ctx, struct error *e)
{
	struct rekey *p = ctx;
	p->seal_digest = digest;
	int r = keystore_transact(ks, rekey_all, p, e);
	if (r == 0)
		uuid_copy(ks->root_id, p->root_id);
	return r;
}

static int swap(struct rekey *p, struct seal *seal, struct error *e)
{
	struct keystore *ks = p->ks;
	uuid_t old_id;
	bool cached = false, permanent = false;
	struct error why = { 0 };
	AUTOSECRET struct secret *root = NULL;
	int r = secret_copy(p->root->data, p->root->len, &root, e);
	if (r < 0 || (r = keystore_is_cached(ks, &cached, e)) < 0)
		return r;
	if (cached)
		permanent = cache_is_permanent(ks->root_id, NULL);
	uuid_copy(old_id, ks->root_id);
	if ((r = keystore_pin_begin(ks, p->root_id, false, e)) < 0)
		return r;
	r = keystore_swap_seal(ks, seal, rekey_store, p, e);
	if (!store_is_unsettled(ks->store))
		keystore_pin_settle(ks);
	if (r < 0 || (r = keystore_take_root(ks, &root, e)) < 0)
		return r;
	store_scrub(ks->store);
	cache_remove(old_id, &cached, &why);
	return permanent ? keystore_cache(ks, 0, e) : 0;
}

int keystore_rekey(struct keystore *ks, const struct credential *creds, size_t n, bool drop_others,
		   const char *carried, const struct progress *progress, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *old_seal = NULL;
	AUTOSEAL struct seal *seal = NULL;
	AUTOSECRET struct secret *root = NULL;
	struct rekey *p = calloc(1, sizeof(*p));
	struct slot *old = NULL;
	size_t n_old = 0;
	if (!p)
		return error_oom(e);
	*p = (struct rekey){ .ks = ks, .progress = progress };
	int r = keystore_lock_seal(ks, &lock, e);
	if (r == 0)
		r = seal_snapshot(ks->dir, &old_seal, e);
	/* An old seal's slots are carried over: they must be those that we made. */
	if (r == 0)
		r = keystore_seal_fits(ks, old_seal, e);
	if (r == 0)
		r = seal_slots(old_seal, &old, &n_old, e);
	if (r == 0 && !drop_others)
		r = check_lost(old, n_old, creds, n, e);
	if (r == 0 && carried)
		r = check_carried(old, n_old, creds, n, carried, e);
	if (r == 0)
		r = secret_random(ROOT_KEY_LEN, &root, e);
	p->root = root;
	if (r == 0 && (r = kdf_root_id(root, p->root_id, e)) == 0 && (r = audit_key(root, &p->audit_key, e)) == 0)
		r = make_seal(p, old, n_old, creds, n, &seal, e);
	slots_free(old, n_old);
	if (r == 0)
		r = swap(p, seal, e);
	secret_free(p->audit_key);
	free(p);
	return r;
}
