/* Files in the making (file.h). */
#include "base/file.h"

#include "base/random.h"
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

int file_new_plan(const char *path, struct file_new **ret, struct error *e)
{
	uint64_t salt;
	AUTOFREE char *tmp = NULL;
	AUTOFREE char *copy1 = strdup(path);
	AUTOFREE char *copy2 = strdup(path);
	if (!copy1 || !copy2)
		return error_oom(e);
	int r = random_bytes(&salt, sizeof(salt), e);
	if (r < 0)
		return r;
	if (asprintf(&tmp, "%s/.%.200s.%016llx" FILE_NEW_SUFFIX, dirname(copy1), basename(copy2),
		     (unsigned long long)salt) < 0) {
		tmp = NULL;
		return error_oom(e);
	}
	return file_new_plan_as(path, tmp, ret, e);
}

int file_new_plan_as(const char *path, const char *tmp, struct file_new **ret, struct error *e)
{
	AUTOFILE_NEW struct file_new *f = calloc(1, sizeof(*f));
	if (!f)
		return error_oom(e);
	f->fd = f->dir = -1;
	f->owner = (uid_t)-1;
	f->path = strdup(path);
	f->tmp = strdup(tmp);
	if (!f->path || !f->tmp)
		return error_oom(e);
	*ret = TAKE_PTR(f);
	return 0;
}

/* A name in f->dir. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int reach_dir(struct file_new *f, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_name(f->tmp, &w, e);
	if (r == 0 && f->image)
		r = walk_check_new(&w, f->owner, e);
	if (r < 0)
		return error_prefix(e, "cannot create %s", f->path);
	f->dir = TAKE_FD(w.dir);
	return 0;
}

static int open_named(struct file_new *f, struct error *e)
{
	f->fd = openat(f->dir, last_part(f->tmp), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return f->fd < 0 ? error_errno(e, error_kind_of_errno(errno), errno, "cannot create %s", f->path) : 0;
}

int file_new_open(struct file_new *f, struct error *e)
{
	int r = reach_dir(f, e);
	return r < 0 ? r : open_named(f, e);
}

int file_new_begin(const char *path, struct file_new **ret, struct error *e)
{
	AUTOFILE_NEW struct file_new *f = NULL;
	int r = file_new_plan(path, &f, e);
	if (r < 0 || (r = reach_dir(f, e)) < 0)
		return r;
	/* Without a name nothing of it stays, whatever ends the process. NFS and FAT have no such files. */
	f->fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	f->unnamed = f->fd >= 0;
	if (!f->unnamed && (r = open_named(f, e)) < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

/* Its own descriptor may be linked by root only, by way of /proc by anybody. */
static int link_unnamed(const struct file_new *f, const char *name)
{
	char self[32];
	if (linkat(f->fd, "", f->dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, self, f->dir, name, AT_SYMLINK_FOLLOW);
}

/* To replace takes a rename, and that a name to begin with. */
static int take_place(struct file_new *f, const char *from, const char *to, bool replace)
{
	if (f->unnamed && link_unnamed(f, replace ? from : to) < 0)
		return -1;
	bool named = f->unnamed && !replace;
	f->unnamed = false;
	return named ? 0 : renameat2(f->dir, from, f->dir, to, replace ? 0 : RENAME_NOREPLACE);
}

static int give_name(struct file_new *f, bool replace, struct error *e)
{
	const char *from = last_part(f->tmp), *to = last_part(f->path);
	if (take_place(f, from, to, replace) == 0) {
		f->committed = true;
	} else if (!replace && !f->unnamed && (errno == EINVAL || errno == ENOSYS)) {
		/* A file system without RENAME_NOREPLACE: a hard link refuses to replace as well. */
		if (linkat(f->dir, from, f->dir, to, 0) < 0)
			return error_errno(e, error_kind_of_errno(errno), errno, "%s", f->path);
		f->committed = true;
		unlinkat(f->dir, from, 0);
	} else if (errno == EEXIST) {
		return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", f->path);
	} else {
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot give %s its name", f->path);
	}
	return 0;
}

int file_new_commit(struct file_new *f, bool replace, struct error *e)
{
	struct walk w = { .dir = f->dir, .path = f->path };
	int r = file_sync(f->fd, f->path, e);
	if (r == 0)
		r = give_name(f, replace, e);
	if (r == 0 && !walk_is(&w, f->fd))
		return error_set(e, ERROR_BUSY, EBUSY, "%s was replaced by another process just now", f->path);
	return r < 0 ? r : walk_sync(&w, e);
}

void file_new_free(struct file_new *f)
{
	if (!f)
		return;
	int saved = errno;
	if (f->fd >= 0) {
		close(f->fd);
		if (!f->committed && !f->unnamed)
			unlinkat(f->dir, last_part(f->tmp), 0);
	}
	cleanup_close(&f->dir);
	free(f->tmp);
	free(f->path);
	free(f);
	errno = saved;
}

static int name_to_replace(const char *path, char **ret, struct error *e)
{
	const char *last = last_part(path);
	if (asprintf(ret, "%.*s.%.200s" FILE_NEW_SUFFIX, (int)(last - path), path, last) >= 0)
		return 0;
	*ret = NULL;
	return error_oom(e);
}

int file_sweep(const char *path, struct error *e)
{
	AUTOFREE char *tmp = NULL;
	int r = name_to_replace(path, &tmp, e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = open(tmp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is being written by another process", path);
	if (fd >= 0)
		unlink(tmp);
	return 0;
}

/* Under a name of its own, so that what an interrupted process left is found again, and locked while it is made. */
static int begin_to_replace(const char *path, struct file_new **ret, struct error *e)
{
	AUTOFREE char *tmp = NULL;
	AUTOFILE_NEW struct file_new *f = NULL;
	int r = name_to_replace(path, &tmp, e);
	if (r < 0 || (r = file_sweep(path, e)) < 0 || (r = file_new_plan_as(path, tmp, &f, e)) < 0 ||
	    (r = file_new_open(f, e)) < 0)
		return r;
	if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
		return error_errno(e, ERROR_BUSY, errno, "cannot lock what will be %s", path);
	*ret = TAKE_PTR(f);
	return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool replace,
		      struct error *e)
{
	AUTOFILE_NEW struct file_new *f = NULL;
	int r = replace ? begin_to_replace(path, &f, e) : file_new_begin(path, &f, e);
	if (r < 0)
		return r;
	r = file_pwrite(f->fd, data, len, 0, path, e);
	if (r < 0)
		return r;
	if (fchmod(f->fd, mode) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the mode of %s", path);
	return file_new_commit(f, replace, e);
}
