#include "lib/guest/secrets_files.h"

#include "base/file.h"
#include "base/secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* libvirt's own limit for a value is 64 KiB. */
#define FILE_MAX (1024 * 1024)

static void closedir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Regular files without a leading dot, to fn. */
static int each_file(int dir, int (*fn)(void *ctx, const char *name, struct error *e), void *ctx, struct error *e)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(closedir_p) DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		int err = errno;
		if (copy >= 0)
			close(copy);
		return error_errno(e, error_kind_of_errno(err), err, "cannot read the directory");
	}
	for (;;) {
		struct stat st;
		errno = 0;
		struct dirent *entry = readdir(d);
		if (!entry)
			return errno ? error_errno(e, ERROR_FAILED, errno, "cannot read the directory") : 0;
		if (entry->d_name[0] == '.' || fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		int r = fn(ctx, entry->d_name, e);
		if (r < 0)
			return r;
	}
}

/* Another's secret is a secret, too. An empty file is *ret NULL. */
static int read_file(int dir, const char *name, struct stat *st, struct secret **ret, struct error *e)
{
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot read %s", name);
	*ret = NULL;
	return st->st_size ? secret_read_fd(fd, FILE_MAX, false, name, ret, e) : 0;
}

static bool contains(const struct secret *s, const char *text)
{
	return s && memmem(s->data, s->len, text, strlen(text));
}

/* Does NAME.xml beside it have our usage? */
static bool is_ours(int dir, const char *name)
{
	AUTOSECRET struct secret *xml = NULL;
	char file[300];
	struct stat st;
	const char *dot = strrchr(name, '.');
	snprintf(file, sizeof(file), "%.*s.xml", dot ? (int)(dot - name) : (int)strlen(name), name);
	return read_file(dir, file, &st, &xml, NULL) == 0 && contains(xml, "<volume>kvmcrypt/");
}

static int write_file(int dir, const char *name, const struct stat *st, const struct secret *s, struct error *e)
{
	char path[300];
	AUTOFILE_NEW struct file_new *f = NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	int r = file_new_begin(path, &f, e);
	if (r == 0 && s)
		r = file_pwrite(f->fd, s->data, s->len, 0, name, e);
	if (r == 0 && (fchown(f->fd, st->st_uid, st->st_gid) < 0 || fchmod(f->fd, st->st_mode & 07777) < 0))
		r = error_errno(e, ERROR_FAILED, errno, "cannot set owner and mode of %s", name);
	return r < 0 ? r : file_new_commit(f, true, e);
}

struct pair {
	int from, to;
	void (*note)(void *ctx, const char *text);
	void *ctx;
};

static int copy_one(void *ctx, const char *name, struct error *e)
{
	const struct pair *p = ctx;
	AUTOSECRET struct secret *s = NULL;
	AUTOSECRET struct secret *there = NULL;
	struct stat st, other;
	if (is_ours(p->from, name)) {
		char text[512];
		snprintf(text, sizeof(text),
			 "%.200s is a key of ours in clear on the disk: remove it, and rotate that volume", name);
		if (p->note && strstr(name, ".base64"))
			p->note(p->ctx, text);
		return 0;
	}
	int r = read_file(p->from, name, &st, &s, e);
	if (r < 0)
		return r;
	/* Nothing is written to a disk that has it already. */
	if (read_file(p->to, name, &other, &there, NULL) == 0 && (s ? there && secret_equal(s, there) : !there))
		return 0;
	return write_file(p->to, name, &st, s, e);
}

int secrets_files_copy(int from, int to, void (*note)(void *ctx, const char *text), void *ctx, struct error *e)
{
	struct pair p = { .from = from, .to = to, .note = note, .ctx = ctx };
	return each_file(from, copy_one, &p, e);
}

/* On disk, but no longer where libvirt would have it. */
static int remove_undefined(void *ctx, const char *name, struct error *e)
{
	const struct pair *p = ctx;
	const char *dot = strrchr(name, '.');
	if (!dot ||
	    (strcmp(dot, ".xml") != 0 && strcmp(dot, ".base64") != 0 && strcmp(dot, ".aes256cbc") != 0) ||
	    faccessat(p->from, name, F_OK, 0) == 0 || is_ours(p->to, name))
		return 0;
	if (unlinkat(p->to, name, 0) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot remove %s", name);
	return 0;
}

int secrets_files_save(int ram, int disk, struct error *e)
{
	struct pair p = { .from = ram, .to = disk };
	int r = each_file(ram, copy_one, &p, e);
	if (r == 0)
		r = each_file(disk, remove_undefined, &p, e);
	if (r == 0 && fsync(disk) < 0)
		r = error_errno(e, ERROR_FAILED, errno, "cannot sync the directory");
	return r;
}
