#include "lib/guest/domain_dir.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RUN "/run/libvirt/qemu"
#define KEY_FILE "master-key.aes"
#define FILE_MAX (1024 * 1024)

static int failed(const char *what, const char *path, struct error *e)
{
	return error_errno(e, ERROR_FAILED, errno, "cannot %s %s", what, path);
}

/* Its command line names the key that it was started with. */
static bool is_process_of(int run, const char *pid_file, const char *path)
{
	char text[32] = "", file[64];
	static char line[256 * 1024];
	AUTOCLOSE int fd = openat(run, pid_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return fd < 0 ? errno != ENOENT : false;
	snprintf(file, sizeof(file), "/proc/%ld/cmdline", strtol(text, NULL, 10));
	AUTOCLOSE int cmdline = open(file, O_RDONLY | O_CLOEXEC);
	if (cmdline < 0)
		return errno != ENOENT;
	size_t len = 0;
	while (len < sizeof(line) && (n = read(cmdline, line + len, sizeof(line) - len)) > 0)
		len += (size_t)n;
	return n < 0 ? errno != ESRCH : memmem(line, len, path, strlen(path)) != NULL;
}

bool domain_dir_runs(const char *driver, const char *name)
{
	char path[600];
	struct dirent *entry;
	bool found = false;
	snprintf(path, sizeof(path), "%.300s/%.255s/" KEY_FILE, driver, name);
	DIR *d = opendir(RUN);
	if (!d)
		return errno != ENOENT;
	while (!found && (entry = readdir(d))) {
		const char *dot = strrchr(entry->d_name, '.');
		if (dot && !strcmp(dot, ".pid") && strcmp(entry->d_name, "driver.pid") != 0)
			found = is_process_of(dirfd(d), entry->d_name, path);
	}
	closedir(d);
	return found;
}

/* A guest that lost power with the host has left it; what is freed on a disk can be read on. */
int domain_dir_wipe(int dir, const char *name, struct error *e)
{
	static const unsigned char zeros[4096];
	struct stat st;
	char path[512];
	snprintf(path, sizeof(path), "%.255s/" KEY_FILE, name);
	AUTOCLOSE int fd = openat(dir, path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed("wipe", path, e);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_size > (off_t)sizeof(zeros))
		return error_set(e, ERROR_DAMAGED, EUCLEAN, "%s is not a guest's key", path);
	int r = file_pwrite(fd, zeros, (size_t)st.st_size, 0, path, e);
	if (r == 0)
		r = file_sync(fd, path, e);
	if (r == 0 && unlinkat(dir, path, 0) < 0)
		r = failed("remove", path, e);
	return r;
}

static int copy_file(int from, int to, const char *name, struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	struct stat st;
	AUTOCLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return failed("read", name, e);
	int r = st.st_size ? secret_read_fd(in, FILE_MAX, false, name, &s, e) : 0;
	if (r < 0)
		return r;
	AUTOCLOSE int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return failed("make", name, e);
	r = s ? file_pwrite(out, s->data, s->len, 0, name, e) : 0;
	if (r == 0 && (fchown(out, st.st_uid, st.st_gid) < 0 || fchmod(out, st.st_mode & 07777) < 0))
		r = failed("set owner and mode of", name, e);
	return r;
}

static int copy_entry(int from, int to, const char *guest, const char *name, const char *way, struct error *e)
{
	char target[1024];
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed("look at", name, e);
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name, e);
	snprintf(target, sizeof(target), "%.255s/%.255s/%.255s", way, guest, name);
	return symlinkat(target, to, name) < 0 ? failed("link", name, e) : 0;
}

int domain_dir_copy(int from, int to, const char *name, const char *way, struct error *e)
{
	struct stat st;
	struct dirent *entry;
	int r = 0;
	AUTOCLOSE int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0 || mkdirat(to, name, 0700) < 0)
		return failed("copy", name, e);
	AUTOCLOSE int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0 || fchown(out, st.st_uid, st.st_gid) < 0 || fchmod(out, st.st_mode & 07777) < 0)
		return failed("copy", name, e);
	int copy = fcntl(in, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d)
		return failed("read", name, e);
	while (r == 0 && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = copy_entry(in, out, name, entry->d_name, way, e);
	closedir(d);
	return r;
}
