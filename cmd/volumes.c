#include "cmd/volumes.h"

#include "cmd/environment.h"

#include <errno.h>

static int find_named(const struct context *ctx, struct keystore *ks, char **operands, size_t n, struct volume_list *l,
		      struct error *e)
{
	int result = 0;
	for (size_t i = 0; i < n && result == 0; i++) {
		AUTORECORD struct record *r = NULL;
		result = environment_find(ctx, ks, operands[i], &r, e);
		if (result == 0)
			result = volume_list_add(l, r, e);
	}
	return result;
}

int volumes_chosen(const struct context *ctx, struct keystore *ks, bool all, char **operands, size_t n,
		   bool (*wanted)(void *ctx, const struct record *r), struct volume_list *ret, struct error *e)
{
	AUTOVOLUMES struct volume_list l = { 0 };
	if (all == (n > 0))
		return error_set(e, ERROR_USAGE, EINVAL, "give either --all or the volumes");
	int r = all ? volume_list_all(ks, wanted, NULL, &l, e) : find_named(ctx, ks, operands, n, &l, e);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct volume_list){ 0 };
	return 0;
}
