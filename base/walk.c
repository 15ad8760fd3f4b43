#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define LINKS_MAX 40
#define WAY "give that directory to root (chown root), or keep the file where only root may change names"

/* ---- who may change the names in a directory ---- */

struct hands {
	uid_t owner, group;	/* group: its only member; the owner again where it may not write, or has many */
	bool many;		/* others may make names, */
	bool sticky;		/* and change none but their own */
};

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* A user's own group: of the same name, with no other member. */
static bool group_user(gid_t gid, uid_t *ret)
{
	char group_text[4096], user_text[4096];
	struct group g, *group = NULL;
	struct passwd p, *user = NULL;
	if (getgrgid_r(gid, &g, group_text, sizeof(group_text), &group) || !group)
		return false;
	for (char **m = group->gr_mem; *m; m++)
		if (strcmp(*m, group->gr_name) != 0)
			return false;
	if (getpwnam_r(group->gr_name, &p, user_text, sizeof(user_text), &user) || !user)
		return false;
	*ret = user->pw_uid;
	return true;
}

static bool has_access_list(int fd)
{
	char self[64];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return getxattr(self, "system.posix_acl_access", NULL, 0) > 0;
}

static struct hands hands_of(int fd, const struct stat *st)
{
	struct hands h = { .owner = st->st_uid, .group = st->st_uid, .sticky = st->st_mode & S_ISVTX };
	h.many = st->st_mode & S_IWOTH;
	/* With an access list the group's bits are its mask. */
	if (!h.many && st->st_mode & S_IWGRP)
		h.many = has_access_list(fd) || !group_user(st->st_gid, &h.group);
	return h;
}

static const char *name_of(uid_t uid, char *buf, size_t len)
{
	char text[4096];
	struct passwd p, *user = NULL;
	if (getpwuid_r(uid, &p, text, sizeof(text), &user) == 0 && user)
		snprintf(buf, len, "user %.64s", user->pw_name);
	else
		snprintf(buf, len, "uid %u", (unsigned)uid);
	return buf;
}

static int refuse_many(const char *dir, const struct stat *st, const char *name, struct error *e)
{
	return error_set(e, ERROR_REFUSED, EPERM,
			 "%s may be changed by others than its owner (mode %04o), who could put anything in the place "
			 "of %s: take that right away (chmod go-w) or keep the file elsewhere",
			 dir, (unsigned)st->st_mode & 07777, name);
}

static int refuse_one(const char *dir, uid_t who, const char *name, struct error *e)
{
	char user[80];
	return error_set(e, ERROR_REFUSED, EPERM,
			 "%s belongs to %s, who can make '%s' in it lead anywhere, and it leads to what is not his: "
			 WAY,
			 dir, name_of(who, user, sizeof(user)), name);
}

/* ---- one step ---- */

struct place {
	int fd;
	struct stat st;
	char path[PATH_MAX];	/* "" : the root directory */
};

static const char *shown(const struct place *p)
{
	return p->path[0] ? p->path : "/";
}

/*
 * A plain file with one name alone is at its own place: who owns the directory may as well delete it. A second name
 * may be one that he gave it.
 */
static bool is_his(const struct stat *to, uid_t who, bool last)
{
	return to->st_uid == who || (last && S_ISREG(to->st_mode) && to->st_nlink == 1);
}

static int check_step(const struct place *from, const struct stat *to, const char *name, bool last, bool *trusted,
		      struct error *e)
{
	const struct hands h = hands_of(from->fd, &from->st);
	const uid_t who[] = { h.owner, h.group };
	if (h.many && !h.sticky)
		return refuse_many(shown(from), &from->st, name, e);
	for (size_t i = 0; i < ARRAY_LEN(who); i++) {
		if (is_trusted(who[i]))
			continue;
		*trusted = false;
		if (!is_his(to, who[i], last))
			return refuse_one(shown(from), who[i], name, e);
	}
	/* As in /tmp. Each name there is its owner's, and a link leads where he wants. */
	if (!h.many || is_trusted(to->st_uid))
		return 0;
	*trusted = false;
	char user[80];
	return !S_ISLNK(to->st_mode) || to->st_uid == h.owner
		       ? 0
		       : error_set(e, ERROR_REFUSED, EPERM,
				   "%s/%s is a link that %s made, in a directory for everybody: say the place itself",
				   from->path, name, name_of(to->st_uid, user, sizeof(user)));
}

/* A directory that is mounted when somebody enters it: looking alone does not count. */
static int enter_automount(int dir, const char *name, int *fd, struct stat *st)
{
	struct statfs fs;
	if (!S_ISDIR(st->st_mode) || fstatfs(*fd, &fs) < 0 || fs.f_type != AUTOFS_SUPER_MAGIC)
		return 0;
	int now = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (now < 0)
		return -errno;
	close(*fd);
	*fd = now;
	return fstat(now, st) < 0 ? -errno : 0;
}

/* ---- all of it ---- */

struct way {
	struct place at, above;	/* above: where the last step came from; fd -1: none */
	struct place link;	/* where the last part, a link, lies; fd -1: none */
	char link_name[NAME_MAX + 2];
	char todo[PATH_MAX];
	const char *given;
	unsigned links;
	bool trusted, follow;
};

static void way_clear(struct way *w)
{
	cleanup_close(&w->at.fd);
	cleanup_close(&w->above.fd);
	cleanup_close(&w->link.fd);
}

static int failed(const struct way *w, int err, struct error *e)
{
	return error_errno(e, error_kind_of_errno(err), err, "%s", w->given);
}

static int go_to_root(struct place *p, struct error *e)
{
	cleanup_close(&p->fd);
	p->path[0] = 0;
	p->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->fd < 0 || fstat(p->fd, &p->st) < 0 ? error_errno(e, ERROR_FAILED, errno, "cannot open /") : 0;
}

/* The next part of w->todo into name; false: none is left. *last: nothing follows it. */
static bool next_part(struct way *w, char name[NAME_MAX + 2], bool *last)
{
	char *p = w->todo + strspn(w->todo, "/");
	size_t len = strcspn(p, "/");
	if (!len)
		return false;
	/* One that is too long stays so, for the kernel to say. */
	snprintf(name, NAME_MAX + 2, "%.*s", len > NAME_MAX ? NAME_MAX + 1 : (int)len, p);
	memmove(w->todo, p + len, strlen(p + len) + 1);
	*last = !w->todo[strspn(w->todo, "/")];
	return true;
}

static int follow_link(struct way *w, int link, const char *name, bool last, struct error *e)
{
	char target[PATH_MAX], todo[PATH_MAX];
	struct place root = { .fd = -1 };
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
	if (n <= 0)
		return failed(w, n < 0 ? errno : ENOENT, e);
	target[n] = 0;
	if (++w->links > LINKS_MAX)
		return failed(w, ELOOP, e);
	if (snprintf(todo, sizeof(todo), "%s%s", target, w->todo) >= (int)sizeof(todo))
		return failed(w, ENAMETOOLONG, e);
	if (last && w->link.fd < 0) {
		w->link = w->at;
		snprintf(w->link_name, sizeof(w->link_name), "%s", name);
		if ((w->link.fd = fcntl(w->at.fd, F_DUPFD_CLOEXEC, 0)) < 0)
			return failed(w, errno, e);
	}
	memcpy(w->todo, todo, sizeof(todo));
	if (target[0] != '/')
		return 0;
	int r = go_to_root(&root, e);
	if (r == 0)
		r = check_step(&w->at, &root.st, name, false, &w->trusted, e);
	if (r < 0) {
		cleanup_close(&root.fd);
		return r;
	}
	cleanup_close(&w->at.fd);
	w->at = root;
	return 0;
}

/*
 * A link below /proc/PID/fd leads to what is open there, whatever its text says: of a file system that is mounted
 * nowhere yet that is "/". True: *ret and *st are that, and the text is another thing's.
 */
static bool by_descriptor(const struct way *w, const char *name, int link, int *ret, struct stat *st)
{
	char target[PATH_MAX];
	struct statfs fs;
	struct stat open_there, named;
	ssize_t n = fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC
			    ? readlinkat(link, "", target, sizeof(target) - 1) : -1;
	if (n <= 0 || target[0] != '/')
		return false;
	target[n] = 0;
	AUTOCLOSE int fd = openat(w->at.fd, name, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &open_there) < 0)
		return false;
	if (stat(target, &named) == 0 && named.st_dev == open_there.st_dev && named.st_ino == open_there.st_ino)
		return false;
	close(*ret);
	*ret = TAKE_FD(fd);
	*st = open_there;
	return true;
}

static int append(struct way *w, int *fd, const struct stat *st, const char *name, struct error *e)
{
	struct place next = { .fd = -1, .st = *st };
	if (!strcmp(name, "..")) {
		char *slash = strrchr(w->at.path, '/');
		snprintf(next.path, sizeof(next.path), "%.*s", slash ? (int)(slash - w->at.path) : 0, w->at.path);
	} else if (snprintf(next.path, sizeof(next.path), "%s/%s", w->at.path, name) >= (int)sizeof(next.path)) {
		return failed(w, ENAMETOOLONG, e);
	}
	cleanup_close(&w->above.fd);
	w->above = w->at;
	w->at = next;
	w->at.fd = TAKE_FD(*fd);
	return 0;
}

/* 1: the last part is not there. */
static int step(struct way *w, const char *name, bool last, struct error *e)
{
	struct stat st;
	if (!strcmp(name, "."))
		return 0;
	AUTOCLOSE int fd = openat(w->at.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && last)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(w, errno, e);
	int r = enter_automount(w->at.fd, name, &fd, &st);
	if (r < 0)
		return failed(w, -r, e);
	bool ends = last && !(S_ISLNK(st.st_mode) && w->follow);
	/* What is done with a name alone is done to its directory. */
	if (!(last && !w->follow) && (r = check_step(&w->at, &st, name, ends, &w->trusted, e)) < 0)
		return r;
	if (S_ISLNK(st.st_mode) && !ends && !by_descriptor(w, name, fd, &fd, &st))
		return follow_link(w, fd, name, last, e);
	return append(w, &fd, &st, name, e);
}

static int finish(struct way *w, const struct place *dir, int fd, const char *name, struct walk *ret, struct error *e)
{
	struct walk done = {
		.dir = -1, .fd = -1, .dir_st = dir->st, .st = w->at.st, .trusted = w->trusted,
	};
	bool joined = name && asprintf(&done.path, "%s/%s", dir->path, name) >= 0;
	if (!joined && !(done.path = name ? NULL : strdup(shown(&w->at))))
		return error_oom(e);
	if ((done.dir = fcntl(dir->fd, F_DUPFD_CLOEXEC, 0)) < 0 ||
	    (fd >= 0 && (done.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)) {
		walk_clear(&done);
		return error_errno(e, ERROR_FAILED, errno, "cannot open %s", shown(dir));
	}
	*ret = done;
	return 0;
}

static int begin(struct way *w, const char *path, struct error *e)
{
	char here[PATH_MAX] = "";
	if (!*path)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "no such file: ''");
	if (*path != '/' && !getcwd(here, sizeof(here)))
		return error_errno(e, ERROR_FAILED, errno, "cannot tell the current directory");
	if (snprintf(w->todo, sizeof(w->todo), "%s/%s", here, path) >= (int)sizeof(w->todo))
		return error_errno(e, ERROR_FAILED, ENAMETOOLONG, "%s", path);
	return go_to_root(&w->at, e);
}

static int walk(const char *path, bool follow_last, struct walk *ret, struct error *e)
{
	CLEANUP(way_clear) struct way w = {
		.at.fd = -1, .above.fd = -1, .link.fd = -1, .trusted = true, .follow = follow_last, .given = path,
	};
	char name[NAME_MAX + 2] = "";
	bool last;
	int r = begin(&w, path, e);
	while (r == 0 && next_part(&w, name, &last))
		r = step(&w, name, last, e);
	if (r < 0)
		return r;
	/* Where a link leads nowhere, it is the link that could be replaced. */
	if (r == 1)
		return w.link.fd >= 0 ? finish(&w, &w.link, -1, w.link_name, ret, e)
				      : finish(&w, &w.at, -1, name, ret, e);
	return finish(&w, w.above.fd >= 0 ? &w.above : &w.at, w.at.fd, NULL, ret, e);
}

int walk_path(const char *path, struct walk *ret, struct error *e)
{
	return walk(path, true, ret, e);
}

int walk_name(const char *path, struct walk *ret, struct error *e)
{
	return walk(path, false, ret, e);
}

void walk_clear(struct walk *w)
{
	cleanup_close(&w->dir);
	cleanup_close(&w->fd);
	free(w->path);
	*w = (struct walk)WALK_NONE;
}

int walk_check_new(const struct walk *w, uid_t owner, struct error *e)
{
	const struct hands h = hands_of(w->dir, &w->dir_st);
	const uid_t who[] = { h.owner, h.group };
	char user[80];
	int len = (int)(strrchr(w->path, '/') - w->path);
	AUTOFREE char *dir = strndup(w->path, len ? (size_t)len : 1);
	if (!dir)
		return error_oom(e);
	if (h.many && !h.sticky)
		return refuse_many(dir, &w->dir_st, walk_last(w), e);
	for (size_t i = 0; i < ARRAY_LEN(who); i++)
		if (!is_trusted(who[i]) && who[i] != owner)
			return error_set(e, ERROR_REFUSED, EPERM,
					 "%s belongs to %s, who could put anything in the place of %s, which would not "
					 "be his: " WAY,
					 dir, name_of(who[i], user, sizeof(user)), walk_last(w));
	return 0;
}
