#include "lib/posture/host/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files of /proc have no size; a command line of QEMU's is some ten thousand bytes. */
#define PROC_FILE_MAX (1u << 20)

int proc_open(pid_t pid, struct proc *ret, struct error *e)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	struct proc p = { .pid = pid, .fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	if (p.fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "process %d cannot be looked at", (int)pid);
	int r = proc_read(&p, "status", &p.status, NULL, e);
	if (r == 0)
		r = proc_read(&p, "cmdline", &p.arguments, &p.len, e);
	if (r < 0) {
		proc_close(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void proc_close(struct proc *p)
{
	cleanup_close(&p->fd);
	free(p->status);
	free(p->arguments);
	*p = (struct proc){ .fd = -1 };
}

int proc_read(const struct proc *p, const char *name, char **ret, size_t *ret_len, struct error *e)
{
	AUTOCLOSE int fd = openat(p->fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "/proc/%d/%s cannot be read", (int)p->pid,
				   name);
	AUTOFREE char *text = NULL;
	size_t len = 0, room = 0;
	for (ssize_t n = 1; n > 0; len += (size_t)n) {
		if (len + 1 >= room) {
			room = room ? 2 * room : 8192;
			char *more = room <= PROC_FILE_MAX ? realloc(text, room) : NULL;
			if (!more)
				return error_oom(e);
			text = more;
		}
		do
			n = read(fd, text + len, room - len - 1);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return error_errno(e, error_kind_of_errno(errno), errno, "/proc/%d/%s cannot be read",
					   (int)p->pid, name);
	}
	text[len] = 0;
	if (ret_len)
		*ret_len = len;
	*ret = TAKE_PTR(text);
	return 0;
}

int proc_link(const struct proc *p, const char *name, char *buf, size_t len, struct error *e)
{
	ssize_t n = readlinkat(p->fd, name, buf, len - 1);
	if (n < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "/proc/%d/%s cannot be read", (int)p->pid,
				   name);
	buf[n] = 0;
	return 0;
}

const char *proc_status(const struct proc *p, const char *name, char *buf, size_t len)
{
	size_t n = strlen(name);
	for (const char *line = p->status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) || line[n] != ':')
			continue;
		line += n + 1;
		line += strspn(line, " \t");
		snprintf(buf, len, "%.*s", (int)strcspn(line, "\n"), line);
		return buf;
	}
	return NULL;
}

bool proc_status_hex(const struct proc *p, const char *name, uint64_t *ret)
{
	char buf[64];
	return proc_status(p, name, buf, sizeof(buf)) && sscanf(buf, "%" SCNx64, ret) == 1;
}

const char *proc_argument(const struct proc *p, const char *option, unsigned i)
{
	const char *end = p->arguments + p->len;
	for (const char *a = p->arguments; a < end; a += strlen(a) + 1) {
		const char *next = a + strlen(a) + 1;
		if (!strcmp(a, option) && next < end && i-- == 0)
			return next;
	}
	return NULL;
}

int proc_limit(const struct proc *p, const char *name, uint64_t *ret, struct error *e)
{
	AUTOFREE char *text = NULL;
	int r = proc_read(p, "limits", &text, NULL, e);
	if (r < 0)
		return r;
	const char *line = strstr(text, name);
	if (!line)
		return error_set(e, ERROR_FAILED, ENODATA, "/proc/%d/limits has no line '%s'", (int)p->pid, name);
	line += strlen(name);
	line += strspn(line, " ");
	*ret = !strncmp(line, "unlimited", 9) ? UINT64_MAX : strtoull(line, NULL, 10);
	return 0;
}
