/*
 * What is stored last of each volume, as a tree of digests whose root stands in the audit head and so under the audit
 * key: one record is proven by the few nodes above it, and so is that there is none. Nodes: FORMAT.md.
 */
#ifndef KEYSTORE_TREE_H
#define KEYSTORE_TREE_H

#include "keystore/store/store.h"

/*
 * *ret_found and the digest of the volume's envelope, by the tree with this root (zeros: an empty one). ERROR_DAMAGED
 * when a node is not the one that was stored.
 */
int tree_get(struct store *s, const unsigned char root[HASH_LEN], const uuid_t volume, bool *ret_found,
	     unsigned char ret[HASH_LEN], struct error *e);

/* The digest of the volume's envelope from now on; NULL: it has no record. root becomes the new one. */
int tree_set(struct store *s, unsigned char root[HASH_LEN], const uuid_t volume, const unsigned char *hash,
	     struct error *e);

/* The last word of each volume, in whatever order they come: for a tree that is made as a whole. */
struct tree_entry {
	uint64_t key;		/* the way through the tree */
	uint64_t seq;		/* of the row of the trail: the highest counts */
	uuid_t volume;
	unsigned char hash[HASH_LEN];
	bool gone;
};
struct tree_entries {
	struct tree_entry *all;
	size_t n, room;
};
void tree_entries_clear(struct tree_entries *t);
int tree_add(struct tree_entries *t, uint64_t seq, const uuid_t volume, const unsigned char *hash, struct error *e);
/* In the place of whatever tree there is. *ret_n: volumes in it. */
int tree_make(struct store *s, struct tree_entries *t, unsigned char ret_root[HASH_LEN], uint64_t *ret_n,
	      struct error *e);

#endif
