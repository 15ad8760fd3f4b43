/*
 * A new volume key under a running guest: QEMU copies the disk onto an image that we made before,
 * with the new key and the same passphrase, and goes over to it.
 *
 * The copy gets the old one's name. libvirt's description of the running guest keeps the temporary
 * name until the guest stops, so that name becomes a link to the image for so long.
 */
#include "lib/workflow/reencrypt/internal.h"

#include "base/file.h"
#include "base/walk.h"
#include "lib/guest/blockcopy.h"
#include "lib/guest/secret.h"
#include "lib/image/container_like.h"
#include "lib/image/file/copy.h"
#include "lib/volume/users.h"
#include "lib/workflow/live_copy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the destination ---- */

static int write_empty(const struct container *old, const struct record *r, struct luks *l, int fd,
		       const struct volume_env *env, struct error *e)
{
	bool qcow2 = r->format == RECORD_FORMAT_QCOW2;
	size_t len = qcow2 ? luks_len(l) : r->geometry.header_length;
	uint64_t offset;
	int result = container_like(old, NULL, len, fd, env->progress, &offset, e);
	return result < 0 ? error_prefix(e, "%s", r->beside) : luks_write_used(l, 0, len, fd, offset, r->beside, e);
}

static int make_destination(struct flow *f, const struct container *old, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	AUTOCLOSE int fd = -1;
	struct stat st;
	bool fresh;
	const struct record *r = f->record;
	int result = reencrypt_header(r, &l, e);
	if (result == 0 && fstat(container_fd(old), &st) < 0)
		result = error_errno(e, ERROR_FAILED, errno, "cannot stat %s", r->path);
	if (result == 0)
		result = reencrypt_make_file(f, st.st_uid, &fd, &fresh, e);
	if (result == 0)
		result = write_empty(old, r, l, fd, f->env, e);
	const struct image_copy all = {
		.from = container_fd(old), .from_path = r->path, .to = fd, .to_path = r->beside,
	};
	if (result == 0)
		result = image_copy_attributes(&all, e);
	if (result < 0)
		return result;
	result = file_sync(fd, r->beside, e);
	return result < 0 ? result : file_sync_dir_of(r->beside, e);
}

/* ---- the copy ---- */

/* QEMU lets go of the old image a moment after the pivot. Then nobody has it, and its keys can go. */
static void open_old(const struct volume_env *env, const struct record *r, struct container **ret)
{
	struct error why = { 0 };
	for (int i = 0; i < 40; i++) {
		why = (struct error){ 0 };
		if (volume_open_header(r, CONTAINER_CHANGE, ret, &why) == 0 || why.kind != ERROR_BUSY)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
	}
	if (!*ret)
		volume_note(env, "the LUKS header of the old image could not be overwritten: %s", why.message);
}

static int take_name(const struct volume_env *env, const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	AUTOWALK struct walk w = WALK_NONE;
	struct error why = { 0 };
	int result = walk_name(r->beside, &w, e);
	if (result < 0)
		return result;
	/* Killed between the rename and the link, there is neither. */
	if (w.fd >= 0 && !S_ISLNK(w.st.st_mode)) {
		open_old(env, r, &old);
		/* Before the header of the old image goes, which a power cut could else bring back by its name. */
		result = reencrypt_take_name(r, old ? container_fd(old) : -1, e);
		if (result < 0)
			return result;
		if (old && container_erase(old, &why) < 0)
			volume_note(env, "the LUKS header of the old image could not be overwritten: %s", why.message);
	}
	if (symlinkat(strrchr(r->path, '/') + 1, w.dir, walk_last(&w)) < 0 && errno != EEXIST)
		volume_note(env,
			    "cannot leave a link at %s, by which libvirt knows the image until the guest stops: %s",
			    r->beside, strerror(errno));
	return walk_sync(&w, e);
}

int reencrypt_live_commit(struct flow *f, struct error *e)
{
	int result = take_name(f->env, f->record, e);
	return result < 0 ? result : guest_copy_rename(f->guest, f->target, f->record->beside, f->record->path, e);
}

/* From here on nobody removes it without asking libvirt. */
static void pivoting(struct record *r)
{
	r->state = RECORD_PIVOTING;
}

int reencrypt_live(struct flow *f, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	struct record *r = f->record;
	const struct live_copy copy = { r->beside, "re-encrypting", pivoting, "volume-key-pivot" };
	int result = volume_open_header(r, CONTAINER_LOOK, &old, e);
	if (result == 0)
		result = live_copy_check(old, r->path, e);
	if (result == 0)
		result = reencrypt_check_space(r, e);
	if (result == 0)
		result = make_destination(f, old, e);
	return result < 0 ? result : live_copy_run(f, &copy, e);
}

/* ---- after an interruption ---- */

/* The domain with either of the two images, by whatever name, into f->guest. */
static int find_disk(struct flow *f, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	const struct record *r = f->record;
	int result = volume_check_libvirt(f->g, r, "asked which of two images it uses", e);
	if (result < 0 || !f->g)
		return result;
	result = volume_image(f->g, r, &image, e);
	if (result == 0 && r->beside)
		result = guest_image_add(&image, r->beside, false, e);
	if (result == 0)
		result = guest_user_any(&image, NULL, GUEST_LIVE | GUEST_CONFIG, &user, e);
	if (result < 0 || !user.place)
		return result;
	snprintf(f->target, sizeof(f->target), "%s", user.use.target);
	result = guest_find_recorded(f->g, user.uuid, user.domain, &f->guest, e);
	return result < 0 ? result : 0;
}

int reencrypt_live_judge(struct flow *f, struct error *e)
{
	struct reencrypt_state *s = f->state;
	const struct record *r = f->record;
	bool pivoted = false, copying = false;
	int result = find_disk(f, e);
	if (result == 0 && f->guest)
		result = live_copy_look(f, r->beside, &pivoted, &copying, e);
	if (result < 0)
		return result;
	if (pivoted) {
		s->way = REENCRYPT_LIVE;
		return FLOW_FINISH;
	}
	if (copying)
		guest_copy_abort(f->guest, f->target);
	/* No domain that could tell, and the copy may be the newer one. */
	if (!f->guest && r->state == RECORD_PIVOTING)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "no domain tells whether %s or %s is the newer image: look at both, remove the other",
				 r->path, r->beside);
	return 0;
}

/* ---- the link that a finished one left for the running guest ---- */

static int judge_link(struct flow *f, struct error *e)
{
	bool used = false, copying;
	int result = f->g ? find_disk(f, e) : 0;
	if (result == 0 && f->guest)
		result = live_copy_look(f, f->record->beside, &used, &copying, e);
	return result < 0 ? result : !f->g || used ? FLOW_LATER : FLOW_FINISH;
}

static int commit_link(struct flow *f, struct error *e)
{
	struct record *r = f->record;
	struct stat st;
	if (r->beside && lstat(r->beside, &st) == 0 && S_ISLNK(st.st_mode) && walk_remove(r->beside, e) < 0)
		return -e->err;
	free(TAKE_PTR(r->beside));
	return 0;
}

const struct workflow workflow_link = {
	.name = "link",
	.begun = RECORD_LINKED,
	.finished = "the link that a running guest needed was removed",
	.judge = judge_link,
	.commit = commit_link,
};
