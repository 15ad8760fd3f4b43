#include "lib/workflow/workflow.h"

#include "lib/guest/secret.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include "base/walk.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an erase works on, locked against QEMU from the check under the volume's lock on. */
struct target {
	bool open;
	struct container *image;	/* NULL: nothing of ours lies at the path */
	int data;			/* the data file beside a detached header, or -1 */
	struct error why;		/* of an image that is NULL */
	bool drop_copy;			/* the file beside it is surely the older one */
};

static void target_close(void *state)
{
	struct target *t = state;
	if (!t->open)
		return;
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
	container_free(TAKE_PTR(t->image));
	/* An erase that was interrupted has itself destroyed the header, keyslots first. */
	bool begun = r->state == RECORD_ERASING;
	/* It may lie on a file system that is not mounted, or have been moved, with its key still wanted. */
	if (why->kind == ERROR_NOT_FOUND)
		return begun || p->missing ? 0 : error_set(e, ERROR_REFUSED, ENOENT,
			"%.700s: mount its file system, or `kvmcrypt move` the volume to where it is now (--missing "
			"destroys the record and its key without it)", why->message);
	if (why->kind != ERROR_DAMAGED && why->err != EMEDIUMTYPE)
		return error_pass(e, why);
	if (begun || p->damaged)
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

static int open_state(struct flow *f, struct error *e)
{
	struct target *t = f->state;
	if (t->open)
		return 0;
	t->open = true;
	t->data = -1;
	return open_target(f->record, f->dry_run || !f->locked ? CONTAINER_LOOK : CONTAINER_CHANGE, f->params, t,
			   &t->why, e);
}

/* There may be a second image, or data with a second key, whose keys would be forgotten and not destroyed. */
static int refuse_two(const struct record *r, const struct volume_erase *p, struct error *e)
{
	if (!(volume_state_flags(r->state) & (STATE_TWO_IMAGES | STATE_TWO_KEYS)) || p->damaged)
		return 0;
	return error_set(e, ERROR_BUSY, EBUSY,
			 "%s was in the middle of a workflow with two images or keys (%s) when that was interrupted: "
			 "run `kvmcrypt recover` first (--damaged goes on without)",
			 r->path, volume_state_name(r->state));
}

static int check(struct flow *f, struct error *e)
{
	const struct record *r = f->record;
	int ret = f->g ? volume_check_unused(f->g, r, e) : 0;
	if (ret == 0 && volume_path_taken(r->path) && image_is_in_use(r->path))
		ret = error_set(e, ERROR_BUSY, EBUSY, "%s is in use: stop its guest or detach it first", r->path);
	if (ret == 0)
		ret = volume_check_unmapped(r, e);
	if (ret == 0)
		ret = volume_check_no_overlay(f->env->ks, r, "erase", e);
	if (ret == 0)
		ret = refuse_two(r, f->params, e);
	return ret < 0 ? ret : open_state(f, e);
}

/*
 * The secret first: without the record nobody would know of it any more. What libvirt refuses is refused before the
 * record says that it is being erased; a secret too few `kvmcrypt load` brings back.
 */
static int intend(struct flow *f, struct error *e)
{
	struct target *t = f->state;
	t->drop_copy = f->record->state == RECORD_CONVERTING;
	return f->g ? guest_secret_forget(f->g, f->record->uuid, NULL, e) : 0;
}

/* A link that a live change of the volume key left, or a copy that nobody will finish. */
static void remove_beside(struct flow *f)
{
	const struct record *r = f->record;
	struct stat st;
	if (!r->beside || lstat(r->beside, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode) || ((struct target *)f->state)->drop_copy)
		walk_remove(r->beside, NULL);
	else
		flow_note(f, "%s may be the newer image of this volume and was left", r->beside);
}

static int act(struct flow *f, struct error *e)
{
	const struct volume_erase *p = f->params;
	struct target *t = f->state;
	int ret = open_state(f, e);
	/* Killed, one may have been registered since. */
	if (ret == 0 && f->g && !p)
		ret = guest_secret_forget(f->g, f->record->uuid, NULL, e);
	if (ret == 0 && t->image)
		ret = container_erase(t->image, e);
	if (ret == 0 && t->image && p && !p->keep_file)
		ret = remove_files(f->record, t, e);
	if (ret < 0)
		return ret;
	remove_beside(f);
	if (!t->image && t->why.kind)
		flow_note(f, "%s; no keyslot was destroyed on disk", t->why.message);
	if (f->result)
		*(bool *)f->result = t->image;
	flow_say(f, "%s", t->image ? "keyslots and record destroyed; the file itself was kept"
				   : "the record was destroyed; no image of it was there any more");
	f->gone = true;
	return 0;
}

const struct workflow workflow_erase = {
	.name = "erase",
	.begun = RECORD_ERASING,
	.flags = FLOW_KEEP_WORK,
	.state_size = sizeof(struct target),
	.kept = "is not erased",
	.done = "is erased",
	.check = check,
	.intend = intend,
	.act = act,
	.verdict = FLOW_RESUME,
	.clear = target_close,
};

int volume_erase(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		 const struct volume_erase *p, bool *ret_destroyed, struct error *e)
{
	const struct flow_call call = {
		.env = env, .g = g, .volume = volume, .params = p, .result = ret_destroyed, .dry_run = p->dry_run,
		.as_it_is = p->damaged || p->missing,
	};
	return workflow_run(&workflow_erase, &call, NULL, NULL, e);
}
