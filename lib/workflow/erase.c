#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"

#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* What an erase works on, locked against QEMU and other kvmcrypts until it ends. */
struct target {
	struct container *image;	/* NULL: nothing of ours lies at the path */
	int data;			/* the data file beside a detached header, or -1 */
};

static void target_close(struct target *t)
{
	container_free(t->image);
	cleanup_close(&t->data);
}

/* The data file beside a detached header has no keyslots, but is locked and removed as well. */
static int lock_data(const struct record *r, int *ret_fd, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	int ret = image_open(r->path, true, &fd, &size, e);
	if (ret == -ENOENT)
		return 0;
	if (ret < 0 || (ret = image_lock(fd, r->path, e)) < 0)
		return ret;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/*
 * Opens the record's image, and no other: a file that came to lie at the path is not ours to
 * destroy. Where keyslots may lie that cannot be destroyed, only the caller's word goes on.
 */
static int open_target(const struct record *r, enum container_mode mode, const struct volume_erase *p,
		       struct target *t, struct error *why, struct error *e)
{
	int ret = container_open(volume_header_path(r), volume_image_format(r), mode, &t->image, why);
	if (ret == 0)
		ret = volume_check_binding(r, luks_info(container_luks(t->image)), why);
	if (ret == 0)
		return r->header_path && mode == CONTAINER_CHANGE ? lock_data(r, &t->data, e) : 0;
	container_free(t->image);
	t->image = NULL;
	/* It may lie on a file system that is not mounted, or have been moved, with its key still wanted. */
	if (why->kind == ERROR_NOT_FOUND)
		return p->missing || r->state == RECORD_ERASING ? 0 : error_set(e, ERROR_REFUSED, ENOENT,
			"%.700s: mount its file system, or `kvmcrypt move` the volume to where it is now (--missing destroys "
			"the record and its key without it)", why->message);
	if (why->kind != ERROR_DAMAGED && why->err != EMEDIUMTYPE) {
		*e = *why;
		return ret;
	}
	/* An erase that was interrupted has itself destroyed the header, keyslots first. */
	if (p->damaged || r->state == RECORD_ERASING)
		return 0;
	return error_set(e, ERROR_DAMAGED, EBADMSG,
			 "%.700s; its keyslots cannot be destroyed, so nothing was changed (--damaged destroys the "
			 "record and its key, and leaves the file)", why->message);
}

static int remove_files(const struct record *r, struct target *t, struct error *e)
{
	int ret = container_remove(t->image, e);
	if (ret == 0 && t->data >= 0)
		ret = image_remove(t->data, r->path, e);
	return ret < 0 ? error_prefix(e, "the keys of %s are destroyed, but not its file", r->path) : 0;
}

static bool is_converting(const struct record *r)
{
	return r->state == RECORD_CONVERTING || r->state == RECORD_PIVOTING;
}

/* There may be a second image, or data with a second key, whose keys would be forgotten and not destroyed. */
static int refuse_converting(const struct record *r, const struct volume_erase *p, struct error *e)
{
	if (!is_converting(r) || p->damaged)
		return 0;
	return error_set(e, ERROR_BUSY, EBUSY,
			 "%s was being encrypted anew when that was interrupted: run `kvmcrypt recover` first (--damaged goes on without)",
			 r->path);
}

/* A link that a live change of the volume key left, or a copy that nobody will finish. */
static void remove_intent(const struct volume_env *env, const struct record *r, enum record_state was)
{
	struct stat st;
	if (!r->beside || lstat(r->beside, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode) || was == RECORD_CONVERTING)
		unlink(r->beside);
	else if (was == RECORD_PIVOTING)
		volume_note(env, "%s may be the newer image of this volume and was left", r->beside);
}

static int begin(const struct volume_env *env, struct record *r, struct error *e)
{
	if (r->state == RECORD_ERASING)
		return 0;
	r->state = RECORD_ERASING;
	return keystore_put(env->ks, r, "erase-begin", r->path, e);
}

static int look_only(const struct record *r, const struct volume_erase *p, struct error *e)
{
	CLEANUP(target_close) struct target t = { .data = -1 };
	struct error why = { 0 };
	return open_target(r, CONTAINER_LOOK, p, &t, &why, e);
}

int volume_erase(const struct volume_env *env, struct record *r, const struct volume_erase *p,
		 bool *ret_destroyed, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTORECORD struct record *fresh = NULL;
	CLEANUP(target_close) struct target t = { .data = -1 };
	struct error why = { 0 };
	if (volume_path_taken(r->path) && image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use: stop its guest or detach it first", r->path);
	int ret = volume_check_unmapped(r, e);
	if (ret == 0)
		ret = refuse_backing(env, r, e);
	if (ret == 0)
		ret = refuse_converting(r, p, e);
	if (ret == 0 && p->dry_run)
		ret = look_only(r, p, e);
	if (ret < 0 || p->dry_run)
		return ret;
	ret = volume_lock(env->ks, r->uuid, true, &lock, e);
	if (ret == 0)
		ret = keystore_get(env->ks, r->uuid, &fresh, e);
	if (ret == 0)
		ret = refuse_converting(fresh, p, e);
	enum record_state was = ret == 0 ? fresh->state : RECORD_READY;
	if (ret == 0)
		ret = open_target(fresh, CONTAINER_CHANGE, p, &t, &why, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, &fresh, 1, "erase", fresh->path, e);
	if (ret == 0)
		ret = begin(env, fresh, e);
	if (ret == 0 && t.image)
		ret = container_erase(t.image, e);
	if (ret == 0 && t.image && !p->keep_file)
		ret = remove_files(fresh, &t, e);
	if (ret == 0)
		ret = keystore_remove(env->ks, fresh, "erase", fresh->path, e);
	if (ret < 0)
		return ret;
	remove_intent(env, fresh, was);
	if (!t.image)
		volume_note(env, "%s; no keyslot was destroyed on disk", why.message);
	*ret_destroyed = t.image;
	return 0;
}
