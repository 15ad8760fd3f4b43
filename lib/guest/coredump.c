#include "lib/guest/coredump.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RUN "/run/libvirt/qemu"		/* NAME.pid, NAME.xml */
#define CONF "/etc/libvirt/qemu.conf"
#define CONF_MAX (1 << 20)
/*
 * core(5): a program that dumps are piped to gets them whatever the limit is. Only 1 keeps the kernel from starting it
 * (fs/coredump.c), and is as little as 0 for a file, which is never begun below a page.
 */
#define LIMIT_NEVER 1
#define SETTING "max_core = 1"

/* The file's text, zero-terminated; files of proc have no size. */
static int read_text(const char *path, char *text, size_t size, struct error *e)
{
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t k = 0;
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot read %s", path);
	while (n < size - 1 && (k = read(fd, text + n, size - 1 - n)) > 0)
		n += (size_t)k;
	if (k < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot read %s", path);
	if (n == size - 1)
		return error_set(e, ERROR_FAILED, EFBIG, "%s is too large to be what it should be", path);
	text[n] = 0;
	return 0;
}

/* "unlimited" is ULLONG_MAX. ESRCH: no such process. */
static int core_limit(long pid, unsigned long long *ret, struct error *e)
{
	static const char name[] = "\nMax core file size";
	char path[64], text[4096];
	snprintf(path, sizeof(path), "/proc/%ld/limits", pid);
	int r = read_text(path, text, sizeof(text), e);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	const char *line = strstr(text, name);
	if (!line)
		return error_set(e, ERROR_FAILED, EBADMSG, "%s names no core limit", path);
	line += strlen(name) + strspn(line + strlen(name), " ");
	*ret = *line == 'u' ? ~0ULL : strtoull(line, NULL, 10);
	return 0;
}

static int dump_program(char ret[128], struct error *e)
{
	char pattern[256];
	ret[0] = 0;
	int r = read_text("/proc/sys/kernel/core_pattern", pattern, sizeof(pattern), e);
	if (r == 0 && pattern[0] == '|')
		snprintf(ret, 128, "%.*s", (int)strcspn(pattern + 1, " \n"), pattern + 1);
	return r;
}

int guest_core_look(const char *domain, struct guest_core *ret, struct error *e)
{
	char path[512], text[32];
	unsigned long long limit = 0;
	struct error why = { 0 };
	*ret = (struct guest_core){ .runs = false };
	snprintf(path, sizeof(path), RUN "/%.300s.pid", domain);
	int r = read_text(path, text, sizeof(text), &why);
	if (r == -ENOENT)
		return 0;
	long pid = r == 0 ? strtol(text, NULL, 10) : 0;
	if (r == 0 && pid > 1)
		r = core_limit(pid, &limit, &why);
	if (r == -ESRCH || (r == 0 && pid <= 1))
		return 0;
	if (r == 0)
		r = dump_program(ret->program, &why);
	if (r < 0)
		return error_pass(e, &why);
	ret->runs = true;
	ret->pid = pid;
	ret->dumps = limit > LIMIT_NEVER || (limit == 0 && ret->program[0]);
	return 0;
}

/* ---- the setting ---- */

/* Is this line, up to its end, the setting or another value of it? */
static bool is_setting(const char *line)
{
	static const char name[] = "max_core";
	line += strspn(line, " \t");
	if (strncmp(line, name, strlen(name)) != 0)
		return false;
	line += strlen(name);
	return line[strspn(line, " \t")] == '=';
}

/* The text with the setting in the place of the first that there is, or at its end. Caller frees; NULL: no memory. */
static char *with_setting(const char *text)
{
	size_t len = strlen(text), n = 0;
	char *out = malloc(len + sizeof(SETTING) + 2);
	bool done = false;
	if (!out)
		return NULL;
	for (const char *line = text; *line;) {
		size_t k = strcspn(line, "\n");
		if (!is_setting(line)) {
			memcpy(out + n, line, k);
			n += k;
		} else if (!done) {
			memcpy(out + n, SETTING, strlen(SETTING));
			n += strlen(SETTING);
			done = true;
		} else {
			k += line[k] == '\n'; /* libvirt takes the last of several: this one goes */
			line += k;
			continue;
		}
		out[n++] = '\n';
		line += k + (line[k] == '\n');
	}
	if (!done)
		n += (size_t)sprintf(out + n, SETTING "\n");
	out[n] = 0;
	return out;
}

int guest_core_forbid(const char *root, bool dry_run, bool *ret_changed, struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOFREE char *text = malloc(CONF_MAX);
	struct stat st;
	if (!text || asprintf(&path, "%s" CONF, root ? root : "") < 0) {
		path = NULL;
		return error_oom(e);
	}
	int r = read_text(path, text, CONF_MAX, e);
	if (r < 0)
		return r;
	AUTOFREE char *want = with_setting(text);
	if (!want)
		return error_oom(e);
	*ret_changed = strcmp(text, want) != 0;
	if (!*ret_changed || dry_run)
		return 0;
	if (stat(path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", path);
	return file_write_atomic(path, want, strlen(want), st.st_mode & 07777, true, e);
}
