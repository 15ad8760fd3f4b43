/*
 * The file beside the image that is to take its name. Who owns the directory neither foresees the name nor has the
 * file before it is whole; an interrupted one is gone on with when it is surely the one that was made.
 */
#include "lib/workflow/reencrypt/internal.h"

#include "base/walk.h"
#include "lib/image/file/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The role of the file in record.work. */
enum { COPY = 1 };

static uint64_t inode_of(const struct record *r)
{
	for (size_t i = 0; i < r->work.n_files; i++)
		if (r->work.files[i].role == COPY && !strcmp(r->work.files[i].path, r->beside))
			return r->work.files[i].inode;
	return 0;
}

int reencrypt_note_file(struct record *r, uint64_t inode, struct error *e)
{
	struct record_work *w = &r->work;
	w->version = RECORD_WORK_VERSION;
	w->number = RECORD_CONVERTING;
	return record_work_file(w, COPY, r->beside, 0, inode, e);
}

static int make(struct flow *f, const struct walk *w, int *ret, struct error *e)
{
	struct stat st;
	/* Whatever lies there is not known to be ours. */
	if (w->fd >= 0 && unlinkat(w->dir, walk_last(w), 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", f->record->beside);
	AUTOCLOSE int fd = openat(w->dir, walk_last(w), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot create %s", f->record->beside);
	int r = reencrypt_note_file(f->record, st.st_ino, e);
	if (r == 0)
		r = flow_store(f, "volume-key-copy", e);
	if (r == 0)
		*ret = TAKE_FD(fd);
	return r;
}

int reencrypt_make_file(struct flow *f, uid_t owner, int *ret_fd, bool *ret_fresh, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	AUTOCLOSE int fd = -1;
	const struct record *record = f->record;
	int r = walk_name(record->beside, &w, e);
	if (r == 0)
		r = walk_check_new(&w, owner, e);
	if (r < 0)
		return r;
	bool ours = f->resumed && w.fd >= 0 && S_ISREG(w.st.st_mode) && w.st.st_nlink == 1 &&
		    w.st.st_uid == geteuid() && w.st.st_ino == inode_of(record);
	if (ours && (fd = walk_open(&w, O_RDWR)) < 0)
		return error_errno(e, ERROR_FAILED, fd, "cannot open %s", record->beside);
	if (!ours)
		r = make(f, &w, &fd, e);
	if (r == 0)
		r = image_lock(fd, record->beside, e);
	if (r < 0)
		return r;
	*ret_fresh = !ours;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int replaced(const char *path, struct error *e)
{
	return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", path);
}

int reencrypt_take_name(const struct record *r, int old, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	struct stat st;
	const char *from = strrchr(r->beside, '/') + 1;
	uint64_t inode = inode_of(r);
	int result = walk_name(r->path, &w, e);
	if (result < 0)
		return result;
	if (old >= 0 && !walk_is(&w, old))
		return replaced(r->path, e);
	if (fstatat(w.dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(e, ERROR_FAILED, errno, "%s", r->beside);
	/* Of one that an older kvmcrypt began no inode is known. */
	if (!S_ISREG(st.st_mode) || (inode && (st.st_ino != inode || st.st_nlink != 1)))
		return replaced(r->beside, e);
	inode = st.st_ino;
	if (renameat(w.dir, from, w.dir, walk_last(&w)) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot rename the copy to %s", r->path);
	if (fstatat(w.dir, walk_last(&w), &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != inode)
		return replaced(r->path, e);
	return walk_sync(&w, e);
}
