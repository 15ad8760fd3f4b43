#include "lib/volume/find.h"
#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/guest/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct search {
	const char *path;
	uuid_t found;
	bool any;
};

static int look_for_data(void *ctx, const struct record *r)
{
	struct search *s = ctx;
	if (!r->header_path || !file_is_same_at(r->path, s->path))
		return 0;
	uuid_copy(s->found, r->uuid);
	s->any = true;
	return 1;
}

/* Data beside a detached header has nothing in it that tells whose it is. */
static int find_data(struct keystore *ks, const char *path, struct record **ret, struct error *e)
{
	struct search s = { .path = path };
	int r = keystore_each(ks, look_for_data, &s, e);
	if (r < 0)
		return r;
	return s.any ? keystore_get(ks, s.found, ret, e)
		     : error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "%s is no volume of keystore %s (see `kvmcrypt list`, `kvmcrypt import`)", path,
				 keystore_path(ks));
}

/* An image of ours by another name than the record's, or one that was moved: its LUKS UUID knows the record. */
static int find_by_header(struct keystore *ks, const char *path, struct record **ret, struct error *e)
{
	struct image_look look;
	AUTORECORD struct record *r = NULL;
	char uuid[37];
	if (image_look(path, &look, NULL) < 0 || !look.encrypted ||
	    keystore_find_luks(ks, look.luks_uuid, &r, NULL) < 0)
		return find_data(ks, path, ret, e);
	if (file_is_same_at(path, r->path)) {
		*ret = TAKE_PTR(r);
		return 0;
	}
	uuid_unparse_lower(r->uuid, uuid);
	return error_set(e, ERROR_NOT_FOUND, ENOENT,
			 "%s holds volume %s, which the keystore knows at %s: `kvmcrypt move %s %s` takes note of the "
			 "new place",
			 path, uuid, r->path, uuid, path);
}

int volume_find(struct keystore *ks, const char *text, struct record **ret, struct error *e)
{
	uuid_t uuid;
	if (uuid_parse(text, uuid) == 0)
		return keystore_get(ks, uuid, ret, e);
	AUTOFREE char *path = NULL;
	int r = volume_canonical(text, &path, e);
	/* Its directory is gone, but the record may have it. */
	if (r == -ENOENT && text[0] == '/') {
		struct error why = { 0 };
		int known = keystore_find_path(ks, text, ret, &why);
		return known == -ENOENT ? r : known < 0 ? error_pass(e, &why) : 0;
	}
	if (r < 0)
		return r;
	r = keystore_find_path(ks, path, ret, e);
	if (r == -ENOENT)
		return find_by_header(ks, path, ret, e);
	return r;
}

bool volume_may_be_in_pool(const char *text)
{
	const char *slash = strchr(text, '/');
	return slash && slash > text && slash[1] && text[0] != '.' && !volume_path_taken(text);
}

int volume_find_in_pool(struct keystore *ks, struct guest_connection *g, const char *text, struct record **ret,
			struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOFREE char *pool = strndup(text, strcspn(text, "/"));
	if (!pool)
		return error_oom(e);
	int r = guest_pool_path(g, pool, text + strlen(pool) + 1, &path, e);
	return r < 0 ? r : volume_find(ks, path, ret, e);
}
