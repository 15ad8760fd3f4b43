#include "lib/image/file/users.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct report {
	int (*fn)(void *ctx, const char *line);
	void *ctx;
	int stop;
};

static void say(struct report *r, const char *format, const char *what)
{
	char line[PATH_MAX + 64];
	if (r->stop)
		return;
	snprintf(line, sizeof(line), format, what);
	r->stop = r->fn(r->ctx, line);
}

static bool read_word(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool done = f && fgets(buf, (int)len, f);
	if (f)
		fclose(f);
	if (done)
		buf[strcspn(buf, "\n")] = 0;
	return done;
}

/* proc(5): "36 35 98:0 /mnt1 /mnt2 rw,noatime …": the fifth field, with blanks as \040. */
static void report_mounts(dev_t device, struct report *r)
{
	char line[2 * PATH_MAX], where[PATH_MAX];
	unsigned major, minor;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && !r->stop && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %u:%u %*s %4095s", &major, &minor, where) == 3 &&
		    makedev(major, minor) == device)
			say(r, "mounted on %s", where);
	if (f)
		fclose(f);
}

static void report_swap(dev_t device, struct report *r)
{
	char line[PATH_MAX + 128], path[PATH_MAX];
	struct stat st;
	FILE *f = fopen("/proc/swaps", "re");
	while (f && !r->stop && fgets(line, sizeof(line), f))
		if (sscanf(line, "%4095s", path) == 1 && path[0] == '/' && stat(path, &st) == 0 &&
		    S_ISBLK(st.st_mode) && st.st_rdev == device)
			say(r, "in use as %s", "swap");
	if (f)
		fclose(f);
}

/* Other devices on top of it: dm, MD, bcache. */
static void report_holders(dev_t device, struct report *r)
{
	char path[PATH_MAX + NAME_MAX], name[256];
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(device), minor(device));
	DIR *dir = opendir(path);
	for (struct dirent *d; dir && !r->stop && (d = readdir(dir));) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders/%s/dm/name", major(device), minor(device),
			 d->d_name);
		say(r, "held by device %s", read_word(path, name, sizeof(name)) ? name : d->d_name);
	}
	if (dir)
		closedir(dir);
}

static bool has_open(const char *pid, dev_t device)
{
	char path[64 + NAME_MAX];
	struct stat st;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *d; dir && !found && (d = readdir(dir));)
		found = isdigit((unsigned char)d->d_name[0]) && fstatat(dirfd(dir), d->d_name, &st, 0) == 0 &&
			S_ISBLK(st.st_mode) && st.st_rdev == device;
	if (dir)
		closedir(dir);
	return found;
}

static void report_processes(dev_t device, struct report *r)
{
	char path[64 + NAME_MAX], comm[64], who[512];
	DIR *proc = opendir("/proc");
	for (struct dirent *d; proc && !r->stop && (d = readdir(proc));) {
		if (!isdigit((unsigned char)d->d_name[0]) || !has_open(d->d_name, device))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		snprintf(who, sizeof(who), "%s (%s)", d->d_name, read_word(path, comm, sizeof(comm)) ? comm : "?");
		say(r, "open in process %s", who);
	}
	if (proc)
		closedir(proc);
}

void device_users(dev_t device, int (*fn)(void *ctx, const char *line), void *ctx)
{
	struct report r = { .fn = fn, .ctx = ctx };
	report_mounts(device, &r);
	report_swap(device, &r);
	report_holders(device, &r);
	report_processes(device, &r);
}

struct text {
	char *buf;
	size_t len;
};

static int append(void *ctx, const char *line)
{
	struct text *t = ctx;
	size_t used = strlen(t->buf);
	snprintf(t->buf + used, t->len - used, "%s%s", used ? ", " : "", line);
	return strlen(t->buf) + 1 == t->len;
}

void device_users_text(dev_t device, char *buf, size_t len)
{
	struct text t = { buf, len };
	buf[0] = 0;
	device_users(device, append, &t);
}
