/*
 * The audit trail: rows chained by HMAC under a key derived from the root key, and a head that
 * names the last row, so that changing, inserting, swapping or removing rows is found.
 */
#ifndef KEYSTORE_AUDIT_H
#define KEYSTORE_AUDIT_H

#include "keystore/store/store.h"

#define AUDIT_ACTION_MAX 64
#define AUDIT_DETAIL_MAX 4096

struct audit_head {
	uint64_t seq;
	unsigned char mac[HASH_LEN];	/* of row seq; zero while there is none */
	uint64_t volumes;		/* records in the store */
	unsigned char tree[HASH_LEN];	/* root of the tree over them: tree.h */
	unsigned char seal[HASH_LEN];	/* digest of the seal: seal_digest() */
	bool old;			/* of schema version 1, which has neither of the two */
};

int audit_key(const struct secret *root, struct secret **ret, struct error *e);

/* With a key the head is verified (ERROR_DAMAGED). */
int audit_head_read(struct store *s, const struct secret *key, struct audit_head *ret,
		    struct error *e);

/* Only for who has just made the chain that it names: audit_append() writes it otherwise. */
int audit_head_write(struct store *s, const struct secret *key, const struct audit_head *h,
		     struct error *e);

/* The row behind those of *h, which becomes the head with it; the caller writes the head, and minds its tree. */
int audit_extend(struct store *s, const struct secret *key, struct store_audit *row, struct audit_head *h,
		 struct error *e);

/* The tree as the rows of the trail have it, in the place of what is there; its root into *h. *ret_n: records. */
int audit_make_tree(struct store *s, struct audit_head *h, uint64_t *ret_n, struct error *e);

/*
 * Adds a row in the write transaction the caller holds: fills seq, when, uid, pid and mac of *row.
 * The head's tree and seal follow from
 * the row. added is the change of the number of records: 1, 0 or -1. row->seq 1 on call: the first row of
 * a new store, which has no head before it; else 0.
 */
int audit_append(struct store *s, const struct secret *key, struct store_audit *row, int added,
		 struct error *e);

/* ERROR_DAMAGED: this row, or what it is chained to, was changed. */
int audit_row_damaged(uint64_t seq, struct error *e);
int audit_row_mac(const struct secret *key, const unsigned char before[HASH_LEN],
		  const struct store_audit *row, unsigned char ret[HASH_LEN], struct error *e);

/*
 * The newest row of these kinds (bits 1 << kind), of this volume unless NULL, without its texts;
 * *ret_found false: there is none. With a key its MAC is verified.
 */
int audit_newest(struct store *s, const struct secret *key, const unsigned char *volume,
		 unsigned kinds, bool *ret_found, struct store_audit *ret, struct error *e);

#endif
