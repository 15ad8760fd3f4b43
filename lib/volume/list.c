#include "lib/volume/list.h"

#include "base/list.h"

void volume_list_clear(struct volume_list *l)
{
	free(l->uuids);
	*l = (struct volume_list){ 0 };
}

static int append(struct volume_list *l, const struct record *r)
{
	if (!list_grow(l->uuids, l->n))
		return -ENOMEM;
	uuid_copy(l->uuids[l->n++], r->uuid);
	l->domains = l->domains || r->n_domains;
	return 0;
}

int volume_list_add(struct volume_list *l, const struct record *r, struct error *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (!uuid_compare(l->uuids[i], r->uuid))
			return 0;
	return append(l, r) < 0 ? error_oom(e) : 0;
}

struct walk {
	bool (*wanted)(void *ctx, const struct record *r);
	void *ctx;
	struct volume_list list;
};

static int collect(void *ctx, const struct record *r)
{
	struct walk *w = ctx;
	return w->wanted && !w->wanted(w->ctx, r) ? 0 : append(&w->list, r);
}

int volume_list_all(struct keystore *ks, bool (*wanted)(void *ctx, const struct record *r), void *ctx,
		    struct volume_list *ret, struct error *e)
{
	struct walk w = { .wanted = wanted, .ctx = ctx };
	struct error why = { 0 };
	int r = keystore_each(ks, collect, &w, &why);
	if (r < 0 && why.kind == ERROR_DAMAGED) {
		w.list.damaged = why;
		r = 0;
	}
	if (r < 0) {
		volume_list_clear(&w.list);
		return r == -ENOMEM ? error_oom(e) : error_pass(e, &why);
	}
	*ret = w.list;
	return 0;
}
