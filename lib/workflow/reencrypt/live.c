/*
 * A new volume key under a running guest: QEMU copies the disk onto an image that we made before,
 * with the new key and the same passphrase, and goes over to it.
 *
 * The copy gets the old one's name. libvirt's description of the running guest keeps the temporary
 * name until the guest stops, so that name becomes a link to the image for so long.
 */
#include "lib/workflow/reencrypt/internal.h"

#include "base/file.h"
#include "lib/guest/blockcopy.h"
#include "lib/guest/secret.h"
#include "lib/image/container_like.h"
#include "lib/image/file/copy.h"
#include "lib/volume/layers.h"
#include "lib/volume/users.h"

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

static int start(const struct volume_env *env, virDomainPtr d, const char *target, const struct record *r,
		 struct error *e)
{
	CLEANUP(layers_clear) struct layers layers = { 0 };
	int result = layers_find(env->ks, r, &layers, e);
	if (result < 0)
		return result;
	layers.guest[0].path = r->beside;
	const struct guest_disk disk = {
		.layers = layers.guest, .n_layers = layers.n, .target = target, .bus = "virtio",
	};
	return guest_copy_start(d, &disk, e);
}

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
	struct stat tmp;
	struct error why = { 0 };
	/* Killed between the rename and the link, there is neither. */
	bool there = lstat(r->beside, &tmp) == 0;
	if (!there && errno != ENOENT)
		return error_errno(e, ERROR_FAILED, errno, "%s", r->beside);
	if (there && !S_ISLNK(tmp.st_mode)) {
		open_old(env, r, &old);
		/* Before the header of the old image goes, which a power cut could else bring back by its name. */
		int result = reencrypt_take_name(r, old ? container_fd(old) : -1, e);
		if (result < 0)
			return result;
		if (old && container_erase(old, &why) < 0)
			volume_note(env, "the LUKS header of the old image could not be overwritten: %s", why.message);
	}
	if (symlink(strrchr(r->path, '/') + 1, r->beside) < 0 && errno != EEXIST)
		volume_note(env,
			    "cannot leave a link at %s, by which libvirt knows the image until the guest stops: %s",
			    r->beside, strerror(errno));
	return file_sync_dir_of(r->path, e);
}

int reencrypt_live_commit(struct flow *f, struct error *e)
{
	const struct reencrypt_state *s = f->state;
	int result = take_name(f->env, f->record, e);
	return result < 0 ? result : guest_copy_rename(s->domain, s->target, f->record->beside, f->record->path, e);
}

static int check(const struct record *r, struct container **ret_old, struct error *e)
{
	int result = volume_open_header(r, CONTAINER_LOOK, ret_old, e);
	if (result == 0 && container_info(*ret_old)->qcow2.n_snapshots)
		result = error_set(e, ERROR_FAILED, EOPNOTSUPP,
				   "%s has internal snapshots, which a copy under a running guest would lose: stop the "
				   "guest first",
				   r->path);
	return result < 0 ? result : reencrypt_check_space(r, e);
}

int reencrypt_live(struct flow *f, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	const struct reencrypt_state *s = f->state;
	struct record *r = f->record;
	int result = check(r, &old, e);
	if (result == 0)
		result = make_destination(f, old, e);
	if (result == 0)
		result = start(f->env, s->domain, s->target, r, e);
	if (result < 0)
		return result;
	result = guest_copy_wait(s->domain, s->target, "re-encrypting", f->env->progress, e);
	/* From here on the copy may be newer than the original: nobody removes it without asking libvirt. */
	if (result == 0) {
		r->state = RECORD_PIVOTING;
		result = flow_store(f, "volume-key-pivot", e);
	}
	if (result < 0) {
		guest_copy_abort(s->domain, s->target);
		return result;
	}
	return guest_copy_pivot(s->domain, s->target, e);
}

/* ---- after an interruption ---- */

/* Where the domain's disk is now. */
static int has_pivoted(virDomainPtr d, const struct record *r, bool *ret, bool *ret_copying, struct error *e)
{
	struct guest_domain_xml xml = { 0 };
	int result = guest_domain_xml(d, &xml, e);
	if (result < 0)
		return result;
	*ret = guest_disk_mentions(xml.live, r->beside, false) || guest_disk_mentions(xml.config, r->beside, false);
	*ret_copying = guest_disk_mentions(xml.live, r->beside, true);
	guest_domain_xml_clear(&xml);
	return 0;
}

/* The domain with either of the two images, by whatever name; *ret NULL: none. */
static int find_disk(struct guest_connection *g, const struct record *r, virDomainPtr *ret, char *target, size_t len,
		     struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	if (!g && r->n_domains)
		return error_set(e, ERROR_LIBVIRT, ENOTCONN,
				 "domain %s has %s, and only libvirt can tell which of two images it uses",
				 r->domains[0].name, r->path);
	int result = g ? volume_image(g, r, &image, e) : 0;
	if (result == 0 && g && r->beside)
		result = guest_image_add(&image, r->beside, false, e);
	if (result == 0 && g)
		result = guest_user_any(&image, NULL, GUEST_LIVE | GUEST_CONFIG, &user, e);
	if (result < 0 || !user.place)
		return result;
	snprintf(target, len, "%s", user.use.target);
	result = guest_find_recorded(g, user.uuid, user.domain, ret, e);
	return result < 0 ? result : 0;
}

int reencrypt_live_judge(struct flow *f, enum flow_verdict *ret, struct error *e)
{
	struct reencrypt_state *s = f->state;
	const struct record *r = f->record;
	bool pivoted = false, copying = false;
	int result = find_disk(f->g, r, &s->domain, s->target, sizeof(s->target), e);
	if (result == 0 && s->domain)
		result = has_pivoted(s->domain, r, &pivoted, &copying, e);
	if (result < 0)
		return result;
	*ret = 0;
	if (pivoted) {
		s->way = REENCRYPT_LIVE;
		*ret = FLOW_FINISH;
		return 0;
	}
	if (copying)
		guest_copy_abort(s->domain, s->target);
	/* No domain that could tell, and the copy may be the newer one. */
	if (!s->domain && r->state == RECORD_PIVOTING)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "no domain tells whether %s or %s is the newer image: look at both, remove the other",
				 r->path, r->beside);
	return 0;
}

/* ---- the link that a finished one left for the running guest ---- */

static int judge_link(struct flow *f, enum flow_verdict *ret, struct error *e)
{
	AUTODOMAIN virDomainPtr d = NULL;
	char target[64];
	bool used = false, copying;
	int result = f->g ? find_disk(f->g, f->record, &d, target, sizeof(target), e) : 0;
	if (result == 0 && d)
		result = has_pivoted(d, f->record, &used, &copying, e);
	*ret = !f->g || used ? FLOW_LATER : FLOW_FINISH;
	return result;
}

static int commit_link(struct flow *f, struct error *e)
{
	struct record *r = f->record;
	struct stat st;
	if (r->beside && lstat(r->beside, &st) == 0 && S_ISLNK(st.st_mode) && unlink(r->beside) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", r->beside);
	free(TAKE_PTR(r->beside));
	r->state = RECORD_READY;
	return 0;
}

const struct workflow workflow_link = {
	.name = "link",
	.begun = RECORD_LINKED,
	.finished = "the link that a running guest needed was removed",
	.judge = judge_link,
	.commit = commit_link,
};
