#include "lib/guest/secrets_dir.h"

#include "base/file.h"
#include "lib/guest/daemon.h"
#include "lib/guest/lazy.h"
#include "lib/guest/ramfs.h"
#include "lib/guest/secret.h"
#include "lib/guest/secrets_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int secrets_dir_daemon_runs(bool *ret, struct error *e)
{
	pid_t pid;
	return guest_daemon_runs(ret, &pid, e);
}

int secrets_dir_check_stopped(const char *path, struct error *e)
{
	bool runs;
	pid_t pid;
	char process[48] = "";
	int r = guest_daemon_runs(&runs, &pid, e);
	if (r < 0 || !runs)
		return r;
	if (pid)
		snprintf(process, sizeof(process), " (process %d)", (int)pid);
	return error_set(e, ERROR_BUSY, EBUSY,
			 "libvirt's daemon runs%s and would not see %s change: stop it first (`systemctl stop "
			 "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket`; its guests go "
			 "on), or leave out --ram",
			 process, path);
}

bool secrets_dir_is_mounted(const char *path)
{
	return ramfs_is_mounted(path);
}

static int absolute(const char *path, char **ret, struct error *e)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(e, error_kind_of_errno(errno), errno, "libvirt's secrets directory %s", path);
	char *whole = realpath(path, NULL);
	if (!whole)
		return error_errno(e, error_kind_of_errno(errno), errno, "libvirt's secrets directory %s", path);
	*ret = whole;
	return 0;
}

/* Two that fill it at once would mount two on top of each other. Held on the directory above, which stays. */
static int lock_above(const char *path, int *ret, struct error *e)
{
	AUTOFREE char *above = NULL;
	if (asprintf(&above, "%s/..", path) < 0) {
		above = NULL;
		return error_oom(e);
	}
	AUTOCLOSE int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot lock %s", above);
	*ret = TAKE_FD(fd);
	return 0;
}

int secrets_dir_begin(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct secrets_dir **ret,
		      struct error *e)
{
	AUTOSECRETSDIR struct secrets_dir *d = calloc(1, sizeof(*d));
	if (!d)
		return error_oom(e);
	d->mount = d->lock = -1;
	int r = lazy_load(e);
	if (r == 0)
		r = secrets_dir_check_stopped(path, e);
	if (r == 0)
		r = absolute(path, &d->path, e);
	if (r == 0)
		r = lock_above(d->path, &d->lock, e);
	if (r < 0)
		return r;
	d->was_ram = file_is_ram(d->path);
	if (!d->was_ram) {
		AUTOCLOSE int from = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (from < 0)
			return error_errno(e, error_kind_of_errno(errno), errno, "cannot read %s", d->path);
		r = ramfs_new(0700, NULL, &d->mount, e);
		if (r == 0)
			r = secrets_files_copy(from, d->mount, note, ctx, e);
		if (r < 0)
			return error_prefix(e, "%s", d->path);
	}
	if (d->was_ram ? !(d->work = strdup(d->path)) : asprintf(&d->work, "/proc/self/fd/%d", d->mount) < 0) {
		d->work = NULL;
		return error_oom(e);
	}
	*ret = TAKE_PTR(d);
	return 0;
}

void secrets_dir_free(struct secrets_dir *d)
{
	if (!d)
		return;
	cleanup_close(&d->mount);
	cleanup_close(&d->lock);
	free(d->path);
	free(d->work);
	free(d);
}

static char *file_of(const char *dir, const uuid_t volume, const char *suffix)
{
	uuid_t secret;
	char text[37], *path;
	guest_secret_uuid(volume, secret);
	uuid_unparse_lower(secret, text);
	return asprintf(&path, "%s/%s.%s", dir, text, suffix) < 0 ? NULL : path;
}

/* Writes unless the file says just that. */
static int write_if_new(const char *path, const void *data, size_t len, bool *changed, struct error *e)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTOSECRET struct secret *now = NULL;
	if (fd >= 0 && secret_read_fd(fd, 65536, false, path, &now, NULL) == 0 && now->len == len &&
	    !memcmp(now->data, data, len))
		return 0;
	*changed = true;
	return file_write_atomic(path, data, len, 0600, true, e);
}

int secrets_dir_put(struct secrets_dir *d, const uuid_t volume, const char *path, const struct secret *passphrase,
		    bool *ret_changed, struct error *e)
{
	AUTOFREE char *xml_file = file_of(d->work, volume, "xml");
	AUTOFREE char *value_file = file_of(d->work, volume, "base64");
	/*
	 * What libvirt 12.1 and later make of a value that they are given. They would take that one first: the
	 * passphrase of before a rotation, or none where it was sealed under another key than the host's present one.
	 */
	AUTOFREE char *sealed_file = file_of(d->work, volume, "aes256cbc");
	AUTOFREE char *xml = guest_secret_xml(volume, path, false);
	AUTOSECRET struct secret *value = NULL;
	bool changed = false;
	if (!xml_file || !value_file || !sealed_file || !xml)
		return error_oom(e);
	int r = secret_base64(passphrase, &value, e);
	/* The value first: libvirt takes no notice of it without the XML. */
	if (r == 0)
		r = write_if_new(value_file, value->data, value->len, &changed, e);
	if (r == 0 && unlink(sealed_file) == 0)
		changed = true;
	else if (r == 0 && errno != ENOENT)
		r = error_errno(e, error_kind_of_errno(errno), errno, "cannot remove %s", sealed_file);
	if (r == 0)
		r = write_if_new(xml_file, xml, strlen(xml), &changed, e);
	if (r < 0)
		return error_prefix(e, "secret of %s", path);
	if (ret_changed)
		*ret_changed = changed;
	return 0;
}

int secrets_dir_forget(struct secrets_dir *d, const uuid_t volume, struct error *e)
{
	static const char *const suffixes[] = { "xml", "base64", "aes256cbc" };
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		AUTOFREE char *file = file_of(d->work, volume, suffixes[i]);
		if (!file)
			return error_oom(e);
		if (unlink(file) < 0 && errno != ENOENT)
			return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", file);
	}
	return 0;
}

bool secrets_dir_has(const char *path, const uuid_t volume)
{
	AUTOFREE char *file = file_of(path, volume, "xml");
	return file && access(file, F_OK) == 0;
}

int secrets_dir_commit(struct secrets_dir *d, struct error *e)
{
	if (d->mount < 0)
		return 0;
	int r = secrets_dir_check_stopped(d->path, e);
	if (r < 0)
		return r;
	if (move_mount(d->mount, "", AT_FDCWD, d->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot mount a ramfs on %s", d->path);
	/* A daemon that started just now may have read either. */
	r = secrets_dir_check_stopped(d->path, e);
	if (r < 0)
		umount2(d->path, MNT_DETACH);
	return r;
}

/* The directory that the mount covers: in a copy of its parent's mount without those on top of it. */
static int open_covered(const char *path, int *ret, struct error *e)
{
	AUTOFREE char *parent = strdup(path);
	if (!parent)
		return error_oom(e);
	char *slash = strrchr(parent, '/');
	const char *name = slash + 1;
	*slash = 0;
	AUTOCLOSE int tree = open_tree(AT_FDCWD, *parent ? parent : "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int fd = tree < 0 ? -1 : openat(tree, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot reach the directory under the ramfs on %s", path);
	*ret = fd;
	return 0;
}

int secrets_dir_leave(const char *path, bool *ret_was, struct error *e)
{
	AUTOCLOSE int ram = -1;
	AUTOCLOSE int disk = -1;
	AUTOCLOSE int lock = -1;
	AUTOFREE char *whole = realpath(path, NULL);
	*ret_was = whole && secrets_dir_is_mounted(whole);
	int r = secrets_dir_check_stopped(path, e);
	if (r == 0 && *ret_was)
		r = lock_above(whole, &lock, e);
	if (r < 0 || !*ret_was)
		return r;
	ram = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ram < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot read %s", whole);
	r = open_covered(whole, &disk, e);
	if (r == 0)
		r = secrets_files_save(ram, disk, e);
	if (r < 0)
		return error_prefix(e, "%s stays in memory", whole);
	cleanup_close(&ram);
	ram = -1;
	if (umount2(whole, 0) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot unmount %s", whole);
	return 0;
}
