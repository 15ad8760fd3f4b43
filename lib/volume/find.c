#include "lib/volume/internal.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>

/* A file that is one of ours but was moved: its LUKS UUID knows the record. */
static int find_moved(struct keystore *ks, const char *path, struct error *e)
{
	struct image_look look;
	AUTORECORD struct record *r = NULL;
	char uuid[37];
	if (image_look(path, &look, NULL) < 0 || !look.encrypted ||
	    keystore_find_luks(ks, look.luks_uuid, &r, NULL) < 0)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "%s is no volume of keystore %s (see `kvmcrypt list`, `kvmcrypt import`)", path,
				 keystore_path(ks));
	uuid_unparse_lower(r->uuid, uuid);
	return error_set(e, ERROR_NOT_FOUND, ENOENT,
			 "%s holds volume %s, which the keystore knows at %s: `kvmcrypt move %s %s` takes note of the new place",
			 path, uuid, r->path, uuid, path);
}

int volume_find(struct keystore *ks, const char *text, struct record **ret, struct error *e)
{
	uuid_t uuid;
	if (uuid_parse(text, uuid) == 0)
		return keystore_get(ks, uuid, ret, e);
	AUTOFREE char *path = NULL;
	int r = volume_canonical(text, &path, e);
	if (r < 0)
		return r;
	r = keystore_find_path(ks, path, ret, e);
	if (r == -ENOENT)
		return find_moved(ks, path, e);
	return r;
}
