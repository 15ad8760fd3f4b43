#include "keystore/tree.h"

#include "keystore/record/tlv.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 16
#define DEPTH_MAX 15		/* so many digits of a way fit a place of 64 bits */
#define LEAF_MAX 64		/* volumes; one more, and the leaf becomes WAYS of them */
#define ENTRY_LEN (sizeof(uuid_t) + HASH_LEN)
#define NODE_MAX (1 + (LEAF_MAX + 1) * ENTRY_LEN)
#define PLACE_OF_ROOT 1

enum { LEAF = 0, INNER = 1 };	/* the first byte of a node */

struct node {
	uint64_t place;
	unsigned depth;
	size_t len;		/* 0: an empty leaf, which is not stored */
	unsigned char data[NODE_MAX];
};

static const unsigned char nothing[HASH_LEN];

static uint64_t way(const uuid_t volume)
{
	unsigned char hash[HASH_LEN];
	kdf_sha256(volume, sizeof(uuid_t), hash);
	return get_be(hash, 8);
}

static unsigned digit(uint64_t key, unsigned depth)
{
	return key >> (60 - 4 * depth) & (WAYS - 1);
}

static int tampered(struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG,
			 "the store was tampered with: what tells the newest records does not fit; run `kvmcrypt "
			 "keystore check` (its --repair accepts what is there)");
}

static bool is_whole(const struct node *n)
{
	return n->data[0] == INNER ? n->len == 1 + WAYS * HASH_LEN
				   : n->data[0] == LEAF && (n->len - 1) % ENTRY_LEN == 0;
}

/* The node at n->place, which has to have this digest. */
static int load(struct store *s, struct node *n, const unsigned char digest[HASH_LEN], struct error *e)
{
	unsigned char got[HASH_LEN];
	n->len = 0;
	if (!memcmp(digest, nothing, HASH_LEN))
		return 0;
	n->len = sizeof(n->data);
	int r = store_tree_get(s, n->place, n->data, &n->len, e);
	if (r < 0)
		return r;
	if (!n->len)
		return tampered(e);
	kdf_sha256(n->data, n->len, got);
	return memcmp(got, digest, HASH_LEN) || !is_whole(n) ? tampered(e) : 0;
}

static int save(struct store *s, const struct node *n, unsigned char ret_digest[HASH_LEN], struct error *e)
{
	int r = store_tree_put(s, n->place, n->data, n->len, e);
	if (r < 0)
		return r;
	if (n->len)
		kdf_sha256(n->data, n->len, ret_digest);
	else
		memset(ret_digest, 0, HASH_LEN);
	return 0;
}

static bool is_inner(const struct node *n)
{
	return n->len && n->data[0] == INNER;
}

static size_t entries(const struct node *n)
{
	return n->len ? (n->len - 1) / ENTRY_LEN : 0;
}

static unsigned char *child(struct node *n, unsigned i)
{
	return n->data + 1 + i * HASH_LEN;
}

/* Where the volume's entry is, or belongs: they are in order of UUID. */
static unsigned char *find(struct node *n, const uuid_t volume, bool *ret_found)
{
	unsigned char *p = n->data + 1, *end = p + entries(n) * ENTRY_LEN;
	while (p < end && memcmp(p, volume, sizeof(uuid_t)) < 0)
		p += ENTRY_LEN;
	*ret_found = p < end && !memcmp(p, volume, sizeof(uuid_t));
	return p;
}

int tree_get(struct store *s, const unsigned char root[HASH_LEN], const uuid_t volume, bool *ret_found,
	     unsigned char ret[HASH_LEN], struct error *e)
{
	struct node n = { .place = PLACE_OF_ROOT };
	uint64_t key = way(volume);
	int r = load(s, &n, root, e);
	while (r == 0 && is_inner(&n) && n.depth < DEPTH_MAX) {
		unsigned char digest[HASH_LEN];
		unsigned i = digit(key, n.depth++);
		memcpy(digest, child(&n, i), HASH_LEN);
		n.place = n.place * WAYS + i;
		r = load(s, &n, digest, e);
	}
	if (r < 0)
		return r;
	const unsigned char *p = find(&n, volume, ret_found);
	if (*ret_found)
		memcpy(ret, p + sizeof(uuid_t), HASH_LEN);
	return 0;
}

/* ---- making ---- */

static void put_entry(unsigned char *p, const uuid_t volume, const unsigned char *hash)
{
	memcpy(p, volume, sizeof(uuid_t));
	memcpy(p + sizeof(uuid_t), hash, HASH_LEN);
}

static int by_volume(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;
	return memcmp(x->volume, y->volume, sizeof(uuid_t));
}

static int by_way(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;
	int order = x->key < y->key ? -1 : x->key > y->key;
	if (!order)
		order = by_volume(a, b);
	return order ? order : x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The node at this place and all below it, from entries in order of their ways. */
static int make(struct store *s, uint64_t place, unsigned depth, struct tree_entry *all, size_t n,
		unsigned char ret_digest[HASH_LEN], struct error *e)
{
	struct node node = { .place = place, .depth = depth };
	int r = 0;
	if (n <= LEAF_MAX || depth == DEPTH_MAX) {
		if (n > LEAF_MAX) /* 60 bits of SHA-256 alike, of 65 UUIDs */
			return error_set(e, ERROR_FAILED, EOVERFLOW, "the store has no place for so many alike UUIDs");
		qsort(all, n, sizeof(*all), by_volume);
		for (size_t i = 0; i < n; i++)
			put_entry(node.data + 1 + i * ENTRY_LEN, all[i].volume, all[i].hash);
		node.len = n ? 1 + n * ENTRY_LEN : 0;
		return save(s, &node, ret_digest, e);
	}
	node.data[0] = INNER;
	node.len = 1 + WAYS * HASH_LEN;
	for (unsigned i = 0; i < WAYS && r == 0; i++) {
		size_t k = 0;
		while (k < n && digit(all[k].key, depth) == i)
			k++;
		if (k)
			r = make(s, place * WAYS + i, depth + 1, all, k, child(&node, i), e);
		all += k;
		n -= k;
	}
	return r < 0 ? r : save(s, &node, ret_digest, e);
}

/* A leaf with one entry too many. */
static int split(struct store *s, const struct node *n, unsigned char digest[HASH_LEN], struct error *e)
{
	struct tree_entry all[LEAF_MAX + 1] = { { .key = 0 } };
	size_t count = entries(n);
	for (size_t i = 0; i < count; i++) {
		const unsigned char *p = n->data + 1 + i * ENTRY_LEN;
		uuid_copy(all[i].volume, p);
		memcpy(all[i].hash, p + sizeof(uuid_t), HASH_LEN);
		all[i].key = way(all[i].volume);
	}
	qsort(all, count, sizeof(*all), by_way);
	return make(s, n->place, n->depth, all, count, digest, e);
}

static int set_in_leaf(struct store *s, struct node *n, const uuid_t volume, const unsigned char *hash,
		       unsigned char digest[HASH_LEN], struct error *e)
{
	bool found = false;
	if (!n->len)
		n->data[n->len++] = LEAF;
	unsigned char *p = find(n, volume, &found), *end = n->data + n->len;
	if (hash && !found) {
		memmove(p + ENTRY_LEN, p, (size_t)(end - p));
		n->len += ENTRY_LEN;
	}
	if (hash)
		put_entry(p, volume, hash);
	if (!hash && found) {
		memmove(p, p + ENTRY_LEN, (size_t)(end - p) - ENTRY_LEN);
		n->len -= ENTRY_LEN;
	}
	if (!entries(n))
		n->len = 0;
	return entries(n) > LEAF_MAX ? split(s, n, digest, e) : save(s, n, digest, e);
}

/* The node at this place: digest is the one it has, and then the one it got. */
static int set(struct store *s, uint64_t place, unsigned depth, const uuid_t volume, const unsigned char *hash,
	       unsigned char digest[HASH_LEN], struct error *e)
{
	struct node n = { .place = place, .depth = depth };
	int r = load(s, &n, digest, e);
	if (r < 0)
		return r;
	if (!is_inner(&n) || depth == DEPTH_MAX)
		return set_in_leaf(s, &n, volume, hash, digest, e);
	unsigned i = digit(way(volume), depth);
	r = set(s, place * WAYS + i, depth + 1, volume, hash, child(&n, i), e);
	return r < 0 ? r : save(s, &n, digest, e);
}

int tree_set(struct store *s, unsigned char root[HASH_LEN], const uuid_t volume, const unsigned char *hash,
	     struct error *e)
{
	return set(s, PLACE_OF_ROOT, 0, volume, hash, root, e);
}

/* ---- as a whole ---- */

void tree_entries_clear(struct tree_entries *t)
{
	free(t->all);
	*t = (struct tree_entries){ 0 };
}

/* In order, the last word of each volume alone. */
static void settle(struct tree_entries *t)
{
	size_t n = 0;
	if (t->n)
		qsort(t->all, t->n, sizeof(*t->all), by_way);
	for (size_t i = 0; i < t->n; i++)
		if (i + 1 == t->n || uuid_compare(t->all[i].volume, t->all[i + 1].volume) != 0)
			t->all[n++] = t->all[i];
	t->n = n;
}

int tree_add(struct tree_entries *t, uint64_t seq, const uuid_t volume, const unsigned char *hash, struct error *e)
{
	if (t->n == t->room) {
		settle(t);
		size_t room = t->n > t->room / 2 ? t->room * 2 : t->room;
		struct tree_entry *larger = reallocarray(t->all, room ? room : 256, sizeof(*larger));
		if (!larger)
			return error_oom(e);
		t->all = larger;
		t->room = room ? room : 256;
	}
	struct tree_entry *x = &t->all[t->n++];
	*x = (struct tree_entry){ .key = way(volume), .seq = seq, .gone = !hash };
	uuid_copy(x->volume, volume);
	memcpy(x->hash, hash ? hash : nothing, HASH_LEN);
	return 0;
}

int tree_make(struct store *s, struct tree_entries *t, unsigned char ret_root[HASH_LEN], uint64_t *ret_n,
	      struct error *e)
{
	size_t n = 0;
	settle(t);
	for (size_t i = 0; i < t->n; i++)
		if (!t->all[i].gone)
			t->all[n++] = t->all[i];
	t->n = n;
	*ret_n = n;
	int r = store_tree_clear(s, e);
	return r < 0 ? r : make(s, PLACE_OF_ROOT, 0, t->all, n, ret_root, e);
}
