/* The audit trail as keystore.h shows it. */
#include "keystore/internal.h"

static int log_event(struct keystore *ks, void *ctx, struct error *e)
{
	/* A copy: a second attempt of the transaction must not find what the first has filled in. */
	struct store_audit row = *(const struct store_audit *)ctx;
	return audit_append(ks->store, ks->audit_key, &row, 0, e);
}

int keystore_audit(struct keystore *ks, const char *action, const uuid_t volume, const char *detail,
		   struct error *e)
{
	struct store_audit row = { .kind = AUDIT_EVENT, .action = action, .detail = detail };
	int r = keystore_need_root(ks, e);
	if (r < 0)
		return r;
	if (volume)
		uuid_copy(row.volume, volume);
	return keystore_transact(ks, log_event, &row, e);
}

struct show {
	int (*fn)(void *ctx, const struct audit_row *row);
	void *ctx;
};

static int show_row(void *ctx, const struct store_audit *a, struct error *e)
{
	const struct show *s = ctx;
	char volume[UUID_STR_LEN];
	(void)e;
	uuid_unparse_lower(a->volume, volume);
	const struct audit_row row = {
		.seq = a->seq,
		.when = a->when,
		.uid = a->uid,
		.pid = a->pid,
		.action = a->action,
		.volume = uuid_is_null(a->volume) ? NULL : volume,
		.detail = a->detail,
	};
	return s->fn(s->ctx, &row);
}

int keystore_audit_each(struct keystore *ks, uint64_t first, uint64_t last_n,
			int (*fn)(void *ctx, const struct audit_row *row), void *ctx, struct error *e)
{
	struct show s = { fn, ctx };
	const struct store_audit_query q = { .first = first, .newest = last_n };
	return store_audit_each(ks->store, &q, show_row, &s, e);
}

int keystore_audit_each_of(struct keystore *ks, const uuid_t volume, uint64_t last_n,
			   int (*fn)(void *ctx, const struct audit_row *row), void *ctx,
			   struct error *e)
{
	struct show s = { fn, ctx };
	const struct store_audit_query q = { .newest = last_n, .volume = volume };
	return store_audit_each(ks->store, &q, show_row, &s, e);
}
