#include "lib/guest/domains_dir.h"

#include "base/cleanup.h"
#include "lib/guest/daemon.h"
#include "lib/guest/domain_dir.h"
#include "lib/guest/ramfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Where it is put together, so that no daemon and no interruption ever meets half of it. */
#define STAGE "/run/kvmcrypt-domains"
/* In it the directory on the disk, if guests run that have their sockets there. */
#define DISK ".disk"

/* What the driver keeps there over its own and its guests' ends; missing, it would make them in memory. */
static const char *const kept[] = { "channel", "checkpoint", "dump", "nvram", "ram", "save", "snapshot" };

struct work {
	const char *path;
	int dir;	/* of the directory on the disk */
	struct stat st;
	void (*note)(void *ctx, const char *text);
	void *ctx;
};

__attribute__((format(printf, 2, 3))) static void tell(const struct work *w, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (w->note)
		w->note(w->ctx, text);
}

static int failed(const char *what, const char *path, struct error *e)
{
	return error_errno(e, ERROR_FAILED, errno, "cannot %s %s", what, path);
}

static bool is_of_guest(const char *name)
{
	return !strncmp(name, "domain-", strlen("domain-"));
}

static bool is_kept(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (!strcmp(name, kept[i]))
			return true;
	return false;
}

/* One entry of the directory, at its place in the new one. */
static int bind_back(const struct work *w, int stage, const char *name, mode_t mode, struct error *e)
{
	char from[64 + 256], to[64 + 256], link[4096];
	snprintf(from, sizeof(from), "/proc/self/fd/%d/%.255s", w->dir, name);
	snprintf(to, sizeof(to), "/proc/self/fd/%d/%.255s", stage, name);
	if (S_ISLNK(mode)) {
		ssize_t n = readlinkat(w->dir, name, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = 0;
		return n < 0 || symlinkat(link, stage, name) < 0 ? failed("keep the link", name, e) : 0;
	}
	if (S_ISDIR(mode) ? mkdirat(stage, name, 0700) < 0 : mknodat(stage, name, S_IFREG | 0600, 0) < 0)
		return failed("make room for", name, e);
	return mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0 ? failed("bind back", name, e) : 0;
}

/* Its sockets cannot move, so they are reached where they are. */
static int take_over_guest(const struct work *w, int stage, const char *name, struct error *e)
{
	char from[64], to[64];
	struct stat st;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", w->dir);
	snprintf(to, sizeof(to), "/proc/self/fd/%d/" DISK, stage);
	if (fstatat(stage, DISK, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	    (mkdirat(stage, DISK, 0700) < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0))
		return failed("keep a way to", w->path, e);
	return domain_dir_copy(w->dir, stage, name, "../" DISK, e);
}

static int take_over(const struct work *w, int stage, const char *name, struct error *e)
{
	struct stat st;
	if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed("look at", name, e);
	if (is_of_guest(name) && !domain_dir_runs(w->path, name))
		return domain_dir_wipe(w->dir, name, e);
	if (is_of_guest(name)) {
		tell(w, "the key of the guest of %s/%s was on the disk, and is in memory and wiped there now: rotate "
			"the passphrases of its volumes", w->path, name);
		return take_over_guest(w, stage, name, e);
	}
	if (!is_kept(name))
		tell(w, "%s/%s is not known to this program: it stays on the disk", w->path, name);
	return bind_back(w, stage, name, st.st_mode, e);
}

static void closedir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int each_entry(int dir, int (*fn)(const struct work *w, int stage, const char *name, struct error *e),
		      const struct work *w, int stage, struct error *e)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(closedir_p) DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int r = 0;
	if (!d)
		return failed("read", w->path, e);
	while (r == 0 && (errno = 0, entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(w, stage, entry->d_name, e);
	return r == 0 && errno ? failed("read", w->path, e) : r;
}

/* Owner and mode of the directory's; libvirt sets them anew when it starts. */
static int make_kept(const struct work *w, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (mkdirat(w->dir, kept[i], 0755) < 0) {
			if (errno == EEXIST)
				continue;
			return failed("make", kept[i], e);
		}
		if (fchownat(w->dir, kept[i], w->st.st_uid, w->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
			return failed("give an owner to", kept[i], e);
	}
	return 0;
}

/* The whole of it below STAGE, private, so that what happens to it there happens nowhere else. */
static int put_together(const struct work *w, struct error *e)
{
	char label[256] = "";
	ssize_t n = fgetxattr(w->dir, "security.selinux", label, sizeof(label) - 1);
	AUTOCLOSE int m = -1;
	int r = ramfs_new(w->st.st_mode, n > 0 ? label : NULL, &m, e);
	if (r < 0)
		return r;
	if (move_mount(m, "", AT_FDCWD, STAGE, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    mount(NULL, STAGE, NULL, MS_PRIVATE, NULL) < 0)
		return failed("mount a ramfs on", STAGE, e);
	AUTOCLOSE int stage = open(STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (stage < 0 || fchown(stage, w->st.st_uid, w->st.st_gid) < 0)
		return failed("prepare", STAGE, e);
	return each_entry(w->dir, take_over, w, stage, e);
}

static int put_in_place(const struct work *w, struct error *e)
{
	AUTOCLOSE int tree = open_tree(AT_FDCWD, STAGE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	bool runs = false;
	if (tree < 0 || move_mount(tree, "", AT_FDCWD, w->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return failed("mount a ramfs on", w->path, e);
	/* One that started just now has its files where they were. */
	int r = guest_qemu_runs(&runs, e);
	if (r < 0 || runs)
		umount2(w->path, MNT_DETACH);
	return r < 0 ? r : runs ? error_set(e, ERROR_BUSY, EBUSY, "libvirt's daemon has started meanwhile") : 0;
}

static void clear_stage(void)
{
	while (umount2(STAGE, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	rmdir(STAGE);
}

static int wipe_copied(const struct work *w, int stage, const char *name, struct error *e)
{
	(void)stage;
	return is_of_guest(name) ? domain_dir_wipe(w->dir, name, e) : 0;
}

/* One that was interrupted had it in place, and more to do. */
static int finish_earlier(struct work *w, struct error *e)
{
	char disk[4096];
	clear_stage();
	snprintf(disk, sizeof(disk), "%.4000s/" DISK, w->path);
	AUTOCLOSE int dir = open(disk, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : failed("read", disk, e);
	w->dir = dir;
	return each_entry(dir, wipe_copied, w, -1, e);
}

int domains_dir_enter(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct error *e)
{
	struct work w = { .path = path, .note = note, .ctx = ctx };
	bool runs = false;
	if (ramfs_is_mounted(path))
		return finish_earlier(&w, e);
	AUTOCLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0 || fstat(dir, &w.st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "libvirt's directory %s", path);
	w.dir = dir;
	int r = guest_qemu_runs(&runs, e);
	if (r == 0 && runs)
		tell(&w, "libvirt's daemon for guests runs, so %s stays on the disk, with keys of running guests",
		     path);
	if (r < 0 || runs)
		return r;
	clear_stage();
	if (mkdir(STAGE, 0700) < 0)
		return failed("make", STAGE, e);
	r = make_kept(&w, e);
	if (r == 0)
		r = put_together(&w, e);
	if (r == 0)
		r = put_in_place(&w, e);
	clear_stage();
	/* Only now: the one in memory counts from here on. */
	return r < 0 ? r : each_entry(dir, wipe_copied, &w, -1, e);
}

/* What came to be there and is no guest's; in memory alone, it would be lost. */
static int refuse_loss(const struct work *w, int ram, const char *name, struct error *e)
{
	struct stat here, st;
	if (fstat(ram, &here) < 0 || fstatat(ram, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed("look at", name, e);
	if (is_of_guest(name)) {
		if (S_ISDIR(st.st_mode) && domain_dir_runs(w->path, name))
			return error_set(e, ERROR_BUSY, EBUSY, "guests run that have their directories in %s: it stays "
					 "in memory", w->path);
		return 0;
	}
	/* Bound back, it is of another file system. */
	if (S_ISLNK(st.st_mode) || st.st_dev != here.st_dev)
		return 0;
	return error_set(e, ERROR_REFUSED, EBUSY, "%s/%s is in memory alone: copy it away, and back afterwards",
			 w->path, name);
}

int domains_dir_leave(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct error *e)
{
	struct work w = { .path = path, .note = note, .ctx = ctx };
	struct error why = { 0 };
	bool runs = false;
	if (!ramfs_is_mounted(path))
		return 0;
	AUTOCLOSE int ram = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ram < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "libvirt's directory %s", path);
	int r = guest_qemu_runs(&runs, e);
	if (r < 0)
		return r;
	if (runs)
		return error_set(e, ERROR_BUSY, EBUSY, "libvirt's daemon for guests runs: %s stays in memory", path);
	r = each_entry(ram, refuse_loss, &w, ram, &why);
	if (r == -EBUSY && why.kind == ERROR_BUSY) {
		tell(&w, "%s", why.message);
		return 0;
	}
	if (r < 0)
		return error_pass(e, &why);
	return umount2(path, MNT_DETACH) < 0 ? failed("unmount", path, e) : 0;
}
