#include "lib/volume/internal.h"
#include "lib/volume/open.h"

#include "base/file.h"
#include "lib/image/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct search {
	const char *path;
	char *overlay;
};

static int look_for_overlay(void *ctx, const struct record *r)
{
	struct search *s = ctx;
	if (!r->backing || strcmp(r->backing, s->path) != 0)
		return 0;
	s->overlay = strdup(r->path);
	return 1;
}

/* An overlay without its backing file is lost as well, so it has to go first. */
static int refuse_backing(const struct volume_env *env, const struct record *r, struct error *e)
{
	struct search s = { .path = r->path };
	int ret = keystore_each(env->ks, look_for_overlay, &s, e);
	AUTOFREE char *overlay = s.overlay;
	if (ret < 0)
		return ret;
	if (overlay)
		return error_set(e, ERROR_REFUSED, EBUSY, "%s is the backing file of volume %s: erase that first",
				 r->path, overlay);
	return 0;
}

/*
 * Destroys the keyslots of the record's image, and of no other: a file that came to lie at the
 * path is not ours to destroy. *ret_gone: there was no file of ours to erase.
 */
static int erase_image(const struct volume_env *env, const struct record *r, bool *ret_gone, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct error why = { 0 };
	int ret = container_open(volume_header_path(r), volume_image_format(r), CONTAINER_CHANGE, &c, &why);
	if (ret == 0)
		ret = volume_check_binding(r, luks_info(container_luks(c)), &why);
	if (ret == 0) {
		*ret_gone = false;
		return container_erase(c, e);
	}
	if (why.kind != ERROR_NOT_FOUND && why.kind != ERROR_DAMAGED && why.err != EMEDIUMTYPE) {
		*e = why;
		return ret;
	}
	/* No header of ours is left there to open with, so losing the record loses nothing more. */
	volume_note(env, "%s; the file was left as it is", why.message);
	*ret_gone = true;
	return 0;
}

/* A block device is not a file to remove: its name in /dev belongs to the system. */
static int remove_file(const char *path, struct error *e)
{
	struct stat st;
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return 0;
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(e, ERROR_FAILED, errno, "the keys of %s are destroyed, but the file cannot be removed",
				   path);
	return file_sync_dir_of(path, e);
}

int volume_erase(const struct volume_env *env, struct record *r, const struct volume_erase *p,
		 struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTORECORD struct record *fresh = NULL;
	bool gone = false;
	if (volume_path_taken(r->path) && image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use: stop its guest or detach it first", r->path);
	int ret = volume_check_unmapped(r, e);
	if (ret == 0)
		ret = refuse_backing(env, r, e);
	if (ret < 0 || p->dry_run)
		return ret;
	ret = volume_lock(env->ks, r->uuid, true, &lock, e);
	if (ret == 0)
		ret = keystore_get(env->ks, r->uuid, &fresh, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, &fresh, 1, "erase", fresh->path, e);
	if (ret < 0)
		return ret;
	enum record_state was = fresh->state;
	if (was != RECORD_ERASING) {
		fresh->state = RECORD_ERASING;
		ret = keystore_put(env->ks, fresh, "erase-begin", fresh->path, e);
		if (ret < 0)
			return ret;
	}
	ret = erase_image(env, fresh, &gone, e);
	if (ret < 0) {
		/* In use after all: nothing was destroyed now, so the volume goes on as before. An erase that
		 * was interrupted earlier may have destroyed keyslots, so that one is still to be finished. */
		if (e->kind == ERROR_BUSY && was != RECORD_ERASING) {
			fresh->state = was;
			keystore_put(env->ks, fresh, "erase-undone", NULL, NULL);
		}
		return ret;
	}
	if (!gone && !p->keep_file) {
		ret = remove_file(fresh->path, e);
		if (ret == 0 && fresh->header_path)
			ret = remove_file(fresh->header_path, e);
		if (ret < 0)
			return ret;
	}
	return keystore_remove(env->ks, fresh, "erase", fresh->path, e);
}
