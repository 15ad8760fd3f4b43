/*
 * The files of a move. On one file system the image gets its second name first; the first one goes when record,
 * overlays and configurations know the second. Across file systems there are two images, so at one moment `from`
 * becomes a link to the new one: from then on nobody can change the old one by its name any more, whenever this ends.
 */
#include "lib/workflow/move/internal.h"

#include "base/file.h"
#include "base/walk.h"
#include "lib/image/file/copy.h"
#include "lib/image/file/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A regular file with this inode, by its own name. */
static bool is_file(const char *path, uint64_t inode)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && inode && st.st_ino == inode;
}

static bool is_link_to(const char *path, const char *to)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = 0;
	return !strcmp(text, to);
}

/* The descriptor of the piece's old file, which is locked. */
static int fd_of(const struct flow *f, const struct move_piece *p)
{
	const struct move_state *s = f->state;
	return p->header || !f->record->header_path ? container_fd(s->image) : s->data;
}

/* ---- one file system ---- */

static bool has_no_links(int err)
{
	return err == EPERM || err == EOPNOTSUPP || err == ENOSYS || err == EMLINK;
}

/* Both names in the directories that safe steps lead to. */
struct names {
	struct walk from, to;
};

static void names_clear(struct names *n)
{
	walk_clear(&n->from);
	walk_clear(&n->to);
}

static int names_walk(const char *from, const char *to, struct names *n, struct error *e)
{
	int r = walk_name(from, &n->from, e);
	return r < 0 ? r : walk_name(to, &n->to, e);
}
#define AUTONAMES CLEANUP(names_clear)
#define NAMES_NONE { WALK_NONE, WALK_NONE }

static int names_link(const struct names *n)
{
	return linkat(n->from.dir, walk_last(&n->from), n->to.dir, walk_last(&n->to), 0) < 0 ? errno : 0;
}

static int names_rename(const struct names *n, unsigned flags)
{
	return renameat2(n->from.dir, walk_last(&n->from), n->to.dir, walk_last(&n->to), flags) < 0 ? errno : 0;
}

/* 1: they are on two file systems after all. */
static int give_name(const struct move_piece *p, struct error *e)
{
	AUTONAMES struct names n = NAMES_NONE;
	int r = names_walk(p->from, p->to, &n, e);
	if (r < 0)
		return r;
	int err = names_link(&n);
	bool linked = !err;
	if (has_no_links(err))
		err = names_rename(&n, RENAME_NOREPLACE);
	if (err == EXDEV)
		return 1;
	if (err)
		return error_errno(e, error_kind_of_errno(err), err, "cannot give %s the name %s", p->from, p->to);
	/* Somebody put another file there since it was locked. */
	if (!is_file(p->to, p->inode)) {
		if (linked)
			unlinkat(n.to.dir, walk_last(&n.to), 0);
		return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", p->from);
	}
	return walk_sync(&n.to, e);
}

/* ---- two ---- */

int move_make_file(struct flow *f, struct move_piece *p, int *ret_fd, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	struct stat st;
	int r = walk_name(p->copy, &w, e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = openat(w.dir, walk_last(&w), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot create %s", p->to);
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", p->copy);
	r = image_lock(fd, p->copy, e);
	p->copy_inode = st.st_ino;
	if (r == 0)
		r = move_note_files(f->record, p, e);
	if (r == 0)
		r = flow_store(f, "move-copy", e);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int move_name_copy(const struct move_piece *p, int fd, struct error *e)
{
	AUTONAMES struct names n = NAMES_NONE;
	int r = file_sync(fd, p->copy, e);
	if (r == 0)
		r = names_walk(p->copy, p->to, &n, e);
	if (r < 0)
		return r;
	if (!walk_is(&n.from, fd))
		return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", p->copy);
	int err = names_rename(&n, RENAME_NOREPLACE);
	if (!err)
		return walk_sync(&n.to, e);
	if (err != EINVAL && err != ENOSYS)
		return error_errno(e, error_kind_of_errno(err), err, "cannot rename the copy to %s", p->to);
	/* A file system without that: a hard link refuses to replace as well. */
	if ((err = names_link(&n)))
		return error_errno(e, error_kind_of_errno(err), err, "cannot rename the copy to %s", p->to);
	r = walk_sync(&n.to, e);
	return r < 0 ? r : walk_remove(p->copy, e);
}

/* Its backing file by a name that is right at the new place. */
static int set_backing(const struct flow *f, const struct move_piece *p, int fd, const char *path, struct error *e)
{
	const struct move_state *s = f->state;
	AUTOFREE char *name = NULL;
	if (f->record->format != RECORD_FORMAT_QCOW2 || p->header)
		return 0;
	int r = move_backing(f->record, p->to, &container_info(s->image)->qcow2, &name, e);
	return r < 0 || !name ? r : qcow2_set_backing(fd, path, name, false, e);
}

static int copy_piece(struct flow *f, struct move_piece *p, struct error *e)
{
	AUTOCLOSE int fd = -1;
	int slot, r = move_make_file(f, p, &fd, e);
	const struct image_copy c = {
		.from = fd_of(f, p), .from_path = p->from, .to = fd, .to_path = p->copy, .progress = f->env->progress,
	};
	if (r == 0)
		r = image_copy_check_attributes(&c, e);
	if (r == 0)
		r = image_copy_data(&c, e);
	if (r == 0)
		r = set_backing(f, p, fd, p->copy, e);
	/* Data beside a detached header was compared, and has nothing else to be proven by. */
	if (r == 0 && (p->header || !f->record->header_path))
		r = volume_prove(f->record, p->copy, &slot, e);
	/* As the old one may be written to by its owner, so may this one from here on. */
	if (r == 0)
		r = image_copy_attributes(&c, e);
	if (r == 0)
		r = move_name_copy(p, fd, e);
	/* Locked to the end, as the old one is. */
	if (r == 0)
		p->fd = TAKE_FD(fd);
	return r;
}

static int becomes_copy(struct flow *f, struct move_piece *p, struct error *e)
{
	int r = move_check_copy(p, e);
	p->how = MOVE_COPY;
	if (r == 0)
		r = move_note(f, e);
	return r < 0 ? r : copy_piece(f, p, e);
}

int move_place(struct flow *f, struct move_piece *p, struct error *e)
{
	struct move_state *s = f->state;
	int r = 0;
	switch (p->how) {
	case MOVE_RENAME:
		/* A name that is right at both places. */
		r = set_backing(f, p, fd_of(f, p), p->from, e);
		if (r == 0)
			r = give_name(p, e);
		return r == 1 ? becomes_copy(f, p, e) : r;
	case MOVE_COPY:
		return copy_piece(f, p, e);
	case MOVE_LIVE:
		return move_live(f, p, e);
	default:
		return s->image ? set_backing(f, p, container_fd(s->image), p->to, e) : 0;
	}
}

/* ---- the moment ---- */

/* 1: it is beside `from`; 0: there are none here, or an earlier run has the old file there. */
static int make_link(const struct move_piece *p, const struct walk *aside, struct error *e)
{
	if (symlinkat(p->to, aside->dir, walk_last(aside)) == 0)
		return 1;
	int err = errno;
	if (err == EEXIST)
		return is_link_to(p->aside, p->to);
	return has_no_links(err) ? 0 : error_errno(e, ERROR_FAILED, err, "cannot make a link beside %s", p->from);
}

/* By one call, where the file system can: 1. */
static int exchange(const struct move_piece *p, const struct names *n, struct error *e)
{
	int r = make_link(p, &n->to, e);
	if (r <= 0)
		return r;
	int err = names_rename(n, RENAME_EXCHANGE);
	if (!err)
		return 1;
	if (err != EINVAL && err != ENOSYS && err != EOPNOTSUPP && err != ENOENT)
		return error_errno(e, ERROR_FAILED, err, "cannot put a link in the place of %s", p->from);
	return walk_remove(p->aside, e);
}

/* Or for a moment, without links for good, nothing is there, and nothing can be changed by that name. */
static int replace(const struct move_piece *p, const struct names *n, struct error *e)
{
	int err = names_rename(n, 0);
	if (err && err != ENOENT)
		return error_errno(e, ERROR_FAILED, err, "cannot rename %s", p->from);
	if (symlinkat(p->to, n->from.dir, walk_last(&n->from)) < 0 && errno != EEXIST && !has_no_links(errno))
		return error_errno(e, ERROR_FAILED, errno, "cannot put a link in the place of %s", p->from);
	return 0;
}

int move_switch(const struct move_piece *p, struct error *e)
{
	/* One that was interrupted where there are no links. */
	if (p->how == MOVE_RENAME && !is_file(p->to, p->inode))
		return give_name(p, e);
	if ((p->how != MOVE_COPY && p->how != MOVE_LIVE) || is_link_to(p->from, p->to))
		return 0;
	AUTONAMES struct names n = NAMES_NONE;
	int r = names_walk(p->from, p->aside, &n, e);
	if (r == 0)
		r = exchange(p, &n, e);
	if (r == 0)
		r = replace(p, &n, e);
	return r < 0 ? r : walk_sync(&n.from, e);
}

int move_is_switched(const struct move_piece *p, bool *ret, struct error *e)
{
	struct stat st;
	*ret = false;
	if (p->how == MOVE_NOTED)
		return 0;
	if (lstat(p->from, &st) < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot tell what is at %s", p->from);
	if (is_file(p->from, p->inode))
		return 0;
	/* Renamed where there are no links, and not yet known by its new name. */
	if (p->aside && is_file(p->aside, p->inode) && !is_file(p->to, p->copy_inode))
		return 0;
	*ret = is_link_to(p->from, p->to) || access(p->from, F_OK) < 0;
	return *ret ? 0
		    : error_set(e, ERROR_DAMAGED, EBADMSG,
				"%s is neither what it was nor a link to %s: somebody else changed it in the middle of "
				"the move", p->from, p->to);
}

/* ---- the end ---- */

/* A QEMU lets go of the old image a moment after it went over to the new one. */
static int open_old(const struct flow *f, const struct move_piece *p, struct container **ret, struct error *e)
{
	struct error why = { 0 };
	int r = -EBUSY;
	for (int i = 0; i < 40 && r == -EBUSY; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
		r = container_open(p->aside, volume_image_format(f->record), CONTAINER_CHANGE, ret, &why);
	}
	return r < 0 ? error_pass(e, &why) : volume_check_binding(f->record, luks_info(container_luks(*ret)), e);
}

/* Nobody has the old file by any name now: its blocks go back to the file system as noise. */
static void erase_old(struct flow *f, const struct move_piece *p)
{
	AUTOCONTAINER struct container *old = NULL;
	struct move_state *s = f->state;
	struct error why = { 0 };
	struct stat st;
	if (!p->header && f->record->header_path)
		return;
	/* Open since before the move, or an interrupted one is taken up. */
	if (s->image && fstat(container_fd(s->image), &st) == 0 && st.st_ino == p->inode)
		old = TAKE_PTR(s->image);
	int r = old ? 0 : open_old(f, p, &old, &why);
	/* An earlier run got that far. */
	if (r == -EMEDIUMTYPE)
		return;
	if (r == 0 && fstat(container_fd(old), &st) == 0 && st.st_nlink > 1)
		r = error_set(&why, ERROR_REFUSED, EMLINK, "it has another name by now");
	if (r == 0)
		r = container_erase(old, &why);
	if (r < 0)
		flow_note(f, "the LUKS header of the old image could not be overwritten: %s", why.message);
}

int move_remove_old(struct flow *f, const struct move_piece *p, struct error *e)
{
	int r = 0;
	if (p->how == MOVE_NOTED)
		return 0;
	if (p->how == MOVE_RENAME)
		return is_file(p->from, p->inode) && is_file(p->to, p->inode) ? walk_remove(p->from, e)
									      : file_sync_dir_of(p->from, e);
	if (is_file(p->aside, p->inode)) {
		erase_old(f, p);
		r = walk_remove(p->aside, e);
	}
	if (r == 0 && is_link_to(p->from, p->to))
		r = walk_remove(p->from, e);
	return r;
}

int move_take_back(const struct move_piece *p, struct error *e)
{
	int r = 0;
	if (p->how == MOVE_NOTED)
		return 0;
	if (p->how == MOVE_RENAME)
		return is_file(p->from, p->inode) && is_file(p->to, p->inode) ? walk_remove(p->to, e) : 0;
	if (is_file(p->aside, p->inode)) {
		AUTONAMES struct names n = NAMES_NONE;
		r = names_walk(p->aside, p->from, &n, e);
		int err = r < 0 ? 0 : names_rename(&n, 0);
		if (r < 0 || err)
			return r < 0 ? r : error_errno(e, ERROR_FAILED, err, "cannot rename %s back", p->aside);
	}
	if (is_link_to(p->aside, p->to))
		r = walk_remove(p->aside, e);
	if (r == 0 && is_file(p->to, p->copy_inode))
		r = walk_remove(p->to, e);
	/* The name is ours alone, and was noted before there was a file. */
	if (r == 0 && volume_path_taken(p->copy))
		r = walk_remove(p->copy, e);
	return r;
}
