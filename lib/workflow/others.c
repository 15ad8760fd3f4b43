/* Workflows that change several volumes: held in the order of their UUIDs, stored in one transaction. */
#include "lib/workflow/internal.h"

#include <errno.h>
#include <string.h>

/* So often may the set change between the look and the locks. */
#define TRIES 8

static int by_uuid(const void *a, const void *b)
{
	return uuid_compare(*(const uuid_t *)a, *(const uuid_t *)b);
}

static int ask(struct flow *f, uuid_t **ret, size_t *ret_n, struct error *e)
{
	*ret = NULL;
	*ret_n = 0;
	int r = f->workflow->others ? f->workflow->others(f, ret, ret_n, e) : 0;
	if (r == 0 && *ret_n)
		qsort(*ret, *ret_n, sizeof(uuid_t), by_uuid);
	return r;
}

void flow_release_others(struct flow *f)
{
	for (size_t i = 0; i < f->n_others; i++)
		volume_release(&f->others[i].hold);
	free(TAKE_PTR(f->others));
	f->n_others = 0;
}

static bool is_held(const struct flow *f, const uuid_t *ids, size_t n)
{
	if (n != f->n_others)
		return false;
	for (size_t i = 0; i < n; i++)
		if (uuid_compare(ids[i], f->others[i].hold.uuid) != 0)
			return false;
	return true;
}

static int make_room(struct flow *f, size_t n, struct error *e)
{
	flow_release_others(f);
	f->others = calloc(n ? n : 1, sizeof(*f->others));
	if (!f->others)
		return error_oom(e);
	for (size_t i = 0; i < n; i++)
		f->others[i].hold.lock = -1;
	f->n_others = n;
	return 0;
}

static int hold_other(struct flow *f, const uuid_t id, size_t i, unsigned flags, struct error *e)
{
	return volume_hold(f->env, id, f->workflow->name, flags, &f->others[i].hold, e);
}

/* The volume itself has its place in the order. */
static int hold_in_order(struct flow *f, const uuid_t volume, struct volume_hold *h, const uuid_t *ids, size_t n,
			 struct error *e)
{
	bool own = false;
	int r = make_room(f, n, e);
	for (size_t i = 0; i <= n && r == 0; i++) {
		if (!own && (i == n || uuid_compare(volume, ids[i]) < 0)) {
			r = volume_hold(f->env, volume, f->workflow->name, HOLD_UNFINISHED, h, e);
			own = true;
		}
		if (r == 0 && i < n)
			r = hold_other(f, ids[i], i, 0, e);
	}
	return r;
}

int flow_hold(struct flow *f, const uuid_t volume, struct volume_hold *h, struct error *e)
{
	for (int i = 0; i < TRIES; i++) {
		AUTOFREE uuid_t *ids = NULL;
		AUTOFREE uuid_t *now = NULL;
		size_t n, n_now;
		int r = ask(f, &ids, &n, e);
		if (r == 0)
			r = hold_in_order(f, volume, h, ids, n, e);
		if (r == 0)
			r = ask(f, &now, &n_now, e);
		if (r < 0)
			return r;
		if (is_held(f, now, n_now))
			return 0;
		flow_release_others(f);
		volume_release(h);
	}
	return error_set(e, ERROR_BUSY, EBUSY, "the volumes that belong to this one change all the time: try again");
}

int flow_hold_others(struct flow *f, struct error *e)
{
	AUTOFREE uuid_t *ids = NULL;
	size_t n;
	int r = ask(f, &ids, &n, e);
	if (r < 0 || is_held(f, ids, n))
		return r;
	r = make_room(f, n, e);
	for (size_t i = 0; i < n && r == 0; i++)
		r = hold_other(f, ids[i], i, HOLD_TRY, e);
	return r;
}

int flow_apply(struct flow *f, const char *action, const char *detail, struct error *e)
{
	AUTOFREE struct keystore_change *changes = calloc(f->n_others + 1, sizeof(*changes));
	size_t n = 0;
	if (!changes)
		return error_oom(e);
	changes[n++] = (struct keystore_change){ .record = f->record, .remove = f->gone };
	for (size_t i = 0; i < f->n_others; i++)
		if (f->others[i].changed)
			changes[n++] = (struct keystore_change){ .record = f->others[i].hold.record };
	int r = keystore_apply(f->env->ks, changes, n, action, detail, e);
	for (size_t i = 0; i < f->n_others && r == 0; i++)
		f->others[i].changed = false;
	return r;
}
