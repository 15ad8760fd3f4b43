/* The keystore's directory: ours alone, and empty before a keystore is made in it. */
#include "keystore/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Who can write to the directory can put another seal and store there, with a root key of his
 * own; so nobody but the user may.
 */
static int check_owner(int fd, const char *path, struct error *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat %s", path);
	if (st.st_uid != geteuid())
		return error_set(e, ERROR_REFUSED, EPERM, "%s belongs to user %u, not to you (user %u)", path,
				 (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(e, ERROR_REFUSED, EPERM,
				 "others may write to the keystore's directory; run `chmod 700 %s`", path);
	return 0;
}

static int refuse_url(const char *location, struct error *e)
{
	if (strstr(location, "://"))
		return error_set(e, ERROR_USAGE, ENOTSUP,
				 "'%s': only a directory can be a keystore in this version", location);
	return 0;
}

static int open_path(const char *location, char **ret_path, int *ret_fd, struct error *e)
{
	AUTOFREE char *path = realpath(location, NULL);
	AUTOCLOSE int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_set(e, ERROR_NOT_FOUND, errno,
				 "there is no keystore at %s; %smake one with `kvmcrypt init`", location,
				 geteuid() && access(KEYSTORE_OF_ROOT, F_OK) == 0
					 ? "root's is " KEYSTORE_OF_ROOT ", which only root can use (sudo); or "
					 : "");
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open keystore %s", location);
	*ret_path = TAKE_PTR(path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int directory_open(const char *location, char **ret_path, int *ret_fd, struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOCLOSE int fd = -1;
	int r = refuse_url(location, e);
	if (r < 0 || (r = open_path(location, &path, &fd, e)) < 0 || (r = check_owner(fd, path, e)) < 0)
		return r;
	if (faccessat(fd, "seal", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "there is no keystore at %s (no file 'seal'); make one with `kvmcrypt init`, "
				 "or restore the seal from a backup", path);
	*ret_path = TAKE_PTR(path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* mkdir -p; parents as the XDG specification wants them. */
static int make_all(const char *location, bool *ret_made, struct error *e)
{
	AUTOFREE char *path = strdup(location);
	if (!path)
		return error_oom(e);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", path);
		*slash = '/';
	}
	*ret_made = mkdir(path, 0700) == 0;
	if (!*ret_made && errno != EEXIST)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", path);
	return 0;
}

static bool may_be_there(const char *name)
{
	static const char *const names[] = { ".", "..", "lost+found", "seal.new", "keystore.db",
					     "keystore.db-wal", "keystore.db-shm", "keystore.db-journal" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

/* We are about to take the directory over, so it must not be somebody's home. */
static int check_empty(int dir, const char *path, struct error *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		cleanup_close(&fd);
		return error_errno(e, ERROR_FAILED, errno, "cannot read %s", path);
	}
	for (const struct dirent *entry; r == 0 && (entry = readdir(d));) {
		if (!strcmp(entry->d_name, "seal"))
			r = error_set(e, ERROR_EXISTS, EEXIST, "there is a keystore at %s already", path);
		else if (!may_be_there(entry->d_name))
			r = error_set(e, ERROR_REFUSED, ENOTEMPTY,
				      "%s is not empty ('%s'); a keystore needs a directory of its own", path,
				      entry->d_name);
	}
	closedir(d);
	return r;
}

int directory_make(const char *location, char **ret_path, int *ret_fd, bool *ret_made,
		   struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOCLOSE int fd = -1;
	bool made = false;
	int r = refuse_url(location, e);
	if (r < 0 || (r = make_all(location, &made, e)) < 0 ||
	    (r = open_path(location, &path, &fd, e)) < 0)
		return r;
	/* The seal first: "exists" says more than any other complaint about the directory. */
	if ((r = check_empty(fd, path, e)) < 0 || (r = check_owner(fd, path, e)) < 0)
		return r;
	if (fchmod(fd, 0700) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the mode of %s", path);
	*ret_path = TAKE_PTR(path);
	*ret_fd = TAKE_FD(fd);
	*ret_made = made;
	return 0;
}
