#include "cmd/volumes.h"

#include "cmd/environment.h"

#include <errno.h>

struct choice {
	bool (*wanted)(const struct record *r);
	uuid_t *uuids;
	size_t n, room;
	bool domains;
};

static int add(struct choice *c, const struct record *r)
{
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		uuid_t *larger = reallocarray(c->uuids, room, sizeof(uuid_t));
		if (!larger)
			return -ENOMEM;
		c->uuids = larger;
		c->room = room;
	}
	uuid_copy(c->uuids[c->n++], r->uuid);
	c->domains = c->domains || r->n_domains;
	return 0;
}

static int collect(void *ctx, const struct record *r)
{
	struct choice *c = ctx;
	return c->wanted && !c->wanted(r) ? 0 : add(c, r);
}

static bool has(const struct choice *c, const uuid_t uuid)
{
	for (size_t i = 0; i < c->n; i++)
		if (!uuid_compare(c->uuids[i], uuid))
			return true;
	return false;
}

static int find_named(const struct context *ctx, struct keystore *ks, char **operands, size_t n, struct choice *c, struct error *e)
{
	for (size_t i = 0; i < n; i++) {
		AUTORECORD struct record *r = NULL;
		int result = environment_find(ctx, ks, operands[i], &r, e);
		if (result < 0)
			return result;
		if (!has(c, r->uuid) && add(c, r) < 0)
			return error_oom(e);
	}
	return 0;
}

int volumes_chosen(const struct context *ctx, struct keystore *ks, bool all, char **operands, size_t n,
		   bool (*wanted)(const struct record *r), uuid_t **ret, size_t *ret_n, bool *ret_domains,
		   struct error *e)
{
	struct choice c = { .wanted = wanted };
	if (all == (n > 0))
		return error_set(e, ERROR_USAGE, EINVAL, "give either --all or the volumes");
	int r = all ? keystore_each(ks, collect, &c, e) : find_named(ctx, ks, operands, n, &c, e);
	if (r == -ENOMEM)
		r = error_oom(e);
	if (r < 0) {
		free(c.uuids);
		return r;
	}
	*ret = c.uuids;
	*ret_n = c.n;
	*ret_domains = c.domains;
	return 0;
}
