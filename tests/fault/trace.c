#include "tests/fault/trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a call has its descriptor or paths. */
enum shape { FD, PATH, AT, TWO, TWO_AT, LINK, LINK_AT, ANY };

static const struct call {
	const char *name;
	unsigned nr;
	unsigned group;
	enum shape shape;
} calls[] = {
	{ "write", SYS_write, TRACE_DATA, FD },
	{ "writev", SYS_writev, TRACE_DATA, FD },
	{ "pwrite64", SYS_pwrite64, TRACE_DATA, FD },
	{ "pwritev", SYS_pwritev, TRACE_DATA, FD },
	{ "ftruncate", SYS_ftruncate, TRACE_DATA, FD },
	{ "fallocate", SYS_fallocate, TRACE_DATA, FD },
	{ "fsync", SYS_fsync, TRACE_SYNC, FD },
	{ "fdatasync", SYS_fdatasync, TRACE_SYNC, FD },
	{ "sync_file_range", SYS_sync_file_range, TRACE_SYNC, FD },
	{ "openat", SYS_openat, TRACE_OPEN, AT },
	{ "renameat", SYS_renameat, TRACE_NAME, TWO_AT },
	{ "renameat2", SYS_renameat2, TRACE_NAME, TWO_AT },
	{ "linkat", SYS_linkat, TRACE_NAME, TWO_AT },
	{ "unlinkat", SYS_unlinkat, TRACE_NAME, AT },
	{ "mkdirat", SYS_mkdirat, TRACE_NAME, AT },
	{ "symlinkat", SYS_symlinkat, TRACE_NAME, LINK_AT },
	{ "flock", SYS_flock, TRACE_LOCK, FD },
	{ "fcntl", SYS_fcntl, TRACE_LOCK, FD },
	{ "connect", SYS_connect, TRACE_TALK, ANY },
	{ "sendmsg", SYS_sendmsg, TRACE_TALK, ANY },
	{ "ioctl", SYS_ioctl, TRACE_OTHER, FD },
	{ "add_key", SYS_add_key, TRACE_OTHER, ANY },
	{ "keyctl", SYS_keyctl, TRACE_OTHER, ANY },
#ifdef SYS_rename
	{ "rename", SYS_rename, TRACE_NAME, TWO },
	{ "link", SYS_link, TRACE_NAME, TWO },
	{ "symlink", SYS_symlink, TRACE_NAME, LINK },
	{ "unlink", SYS_unlink, TRACE_NAME, PATH },
	{ "mkdir", SYS_mkdir, TRACE_NAME, PATH },
	{ "rmdir", SYS_rmdir, TRACE_NAME, PATH },
#endif
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct call *call_by_nr(uint64_t nr)
{
	for (size_t i = 0; i < N_CALLS; i++)
		if (calls[i].nr == nr)
			return &calls[i];
	return NULL;
}

bool trace_knows(const char *name)
{
	for (size_t i = 0; i < N_CALLS; i++)
		if (!strcmp(calls[i].name, name))
			return true;
	return false;
}

/* What creates a file opens it, too; a socket is written to. */
static bool wanted(const struct trace *t, const struct call *c)
{
	unsigned groups = c->group;
	if (c->group == TRACE_OPEN)
		groups |= TRACE_NAME;
	if (c->nr == SYS_write || c->nr == SYS_writev)
		groups |= TRACE_TALK;
	return t->groups ? groups & t->groups : !strcmp(t->only, c->name);
}

static void install_filter(const struct trace *t)
{
	struct sock_filter filter[N_CALLS + 4];
	unsigned short n = 0, left = 0;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < N_CALLS; i++)
		left += wanted(t, &calls[i]);
	for (size_t i = 0; i < N_CALLS; i++)
		if (wanted(t, &calls[i])) {
			filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].nr, left, 0);
			left--;
		}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog program = { .len = n, .filter = filter };
	/* Without no_new_privs only root may install a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(125);
}

static void run_child(const struct trace *t, char *const argv[], const char *out)
{
	int null = open("/dev/null", O_RDONLY), fd = out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	if (out && (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0))
		_exit(125);
	if (fd > 2)
		close(fd);
	if (null > 2)
		close(null);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
		_exit(125);
	install_filter(t);
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(125);
}

int trace_start(struct trace *t, char *const argv[], const char *out)
{
	const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	t->child = fork();
	if (t->child == 0)
		run_child(t, argv, out);
	if (t->child < 0 || waitpid(t->child, &t->status, 0) != t->child || !WIFSTOPPED(t->status) ||
	    ptrace(PTRACE_SETOPTIONS, t->child, NULL, options) < 0)
		return -errno;
	t->stopped = t->child;
	return 0;
}

ssize_t trace_read(pid_t pid, uint64_t address, void *buf, size_t len)
{
	struct iovec mine = { buf, len }, its = { (void *)(uintptr_t)address, len };
	return process_vm_readv(pid, &mine, 1, &its, 1, 0);
}

/* Page by page, as a string may end just before memory does. */
static bool read_string(pid_t pid, uint64_t address, char *buf, size_t size)
{
	for (size_t n = 0; n < size;) {
		size_t step = 4096 - (size_t)((address + n) % 4096);
		if (step > size - n)
			step = size - n;
		if (trace_read(pid, address + n, buf + n, step) != (ssize_t)step)
			return false;
		if (memchr(buf + n, 0, step))
			return true;
		n += step;
	}
	return false;
}

static bool link_of(pid_t pid, const char *what, int fd, char *buf)
{
	char name[64];
	snprintf(name, sizeof(name), fd < 0 ? "/proc/%d/%s" : "/proc/%d/%s/%d", pid, what, fd);
	ssize_t n = readlink(name, buf, PATH_MAX - 1);
	buf[n > 0 ? n : 0] = 0;
	return n > 0;
}

static bool path_of(pid_t pid, int dirfd, uint64_t address, char *ret)
{
	char name[PATH_MAX], base[PATH_MAX];
	if (!read_string(pid, address, name, sizeof(name)))
		return false;
	if (name[0] == '/')
		return snprintf(ret, PATH_MAX, "%s", name) < PATH_MAX;
	if (!link_of(pid, dirfd == AT_FDCWD ? "cwd" : "fd", dirfd == AT_FDCWD ? -1 : dirfd, base))
		return false;
	return snprintf(ret, PATH_MAX, "%s/%s", base, name) < PATH_MAX;
}

/* A file that lost its name is a file still, but nobody finds it any more. One that never had one may get it. */
static bool below(const char *dir, const char *path)
{
	static const char gone[] = " (deleted)";
	size_t n = strlen(dir), len = strlen(path);
	const char *name = strrchr(path, '/');
	if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/'))
		return false;
	if (len < sizeof(gone) || strcmp(path + len - strlen(gone), gone) != 0)
		return true;
	return name[1] == '#' && strspn(name + 2, "0123456789") == strlen(name + 2) - strlen(gone);
}

static bool is_socket(const struct trace_call *c)
{
	char path[PATH_MAX];
	return link_of(c->pid, "fd", (int)c->arg[0], path) && !strncmp(path, "socket:", 7);
}

static bool takes_lock(const struct trace_call *c)
{
	struct flock l;
	if (!strcmp(c->name, "flock"))
		return true;
	if (c->arg[1] != F_SETLK && c->arg[1] != F_SETLKW && c->arg[1] != F_OFD_SETLK && c->arg[1] != F_OFD_SETLKW)
		return false;
	return trace_read(c->pid, c->arg[2], &l, sizeof(l)) == sizeof(l) && l.l_type == F_WRLCK;
}

/* An openat that makes a file changes the directory; another opens. */
static void sort_open(struct trace_call *c)
{
	if (c->group == TRACE_OPEN && c->arg[2] & O_CREAT && access(c->path, F_OK) < 0)
		c->group = TRACE_NAME;
}

static bool find_files(struct trace_call *c, enum shape shape)
{
	const uint64_t *a = c->arg;
	switch (shape) {
	case FD: c->fd = (int)a[0]; return link_of(c->pid, "fd", c->fd, c->path);
	case PATH: return path_of(c->pid, AT_FDCWD, a[0], c->path);
	case AT: return path_of(c->pid, (int)a[0], a[1], c->path);
	case TWO: return path_of(c->pid, AT_FDCWD, a[0], c->path) && path_of(c->pid, AT_FDCWD, a[1], c->to);
	case TWO_AT: return path_of(c->pid, (int)a[0], a[1], c->path) && path_of(c->pid, (int)a[2], a[3], c->to);
	case LINK: return path_of(c->pid, AT_FDCWD, a[1], c->path);
	case LINK_AT: return path_of(c->pid, (int)a[1], a[2], c->path);
	default: return true;
	}
}

static bool look_at(const struct trace *t, pid_t pid, struct trace_call *c)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return false;
	const struct call *call = call_by_nr(info.seccomp.nr);
	if (!call)
		return false;
	*c = (struct trace_call){ .pid = pid, .name = call->name, .group = call->group, .fd = -1 };
	for (size_t i = 0; i < 6; i++)
		c->arg[i] = info.seccomp.args[i];
	if (!t->dir[0])
		return true;
	if (t->groups & TRACE_TALK && (call->group == TRACE_TALK || is_socket(c))) {
		c->group = TRACE_TALK;
		return call->nr == SYS_connect || is_socket(c);
	}
	if (!find_files(c, call->shape) || !(below(t->dir, c->path) || (c->to[0] && below(t->dir, c->to))))
		return false;
	sort_open(c);
	return c->group & t->groups && (c->group != TRACE_LOCK || takes_lock(c));
}

int trace_next(struct trace *t, struct trace_call *ret)
{
	int sig = 0;
	for (;;) {
		int status;
		/* It may be gone by now. */
		if (t->stopped)
			(void)ptrace(PTRACE_CONT, t->stopped, NULL, sig);
		t->stopped = sig = 0;
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return 0;
		if (!WIFSTOPPED(status)) {
			if (pid == t->other) {
				t->other_status = status;
				t->other = 0;
			}
			if (pid == t->child)
				t->status = status;
			continue;
		}
		t->stopped = pid;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			if (look_at(t, pid, ret))
				return 1;
		} else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP) {
			sig = WSTOPSIG(status); /* else an event, or the first stop of a new thread */
		}
	}
}

int trace_skip(struct trace *t, const struct trace_call *c, long result)
{
	(void)t;
#if defined(__x86_64__)
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, c->pid, NULL, &regs) < 0)
		return -errno;
	regs.orig_rax = (unsigned long)-1;
	regs.rax = (unsigned long)result;
	return ptrace(PTRACE_SETREGS, c->pid, NULL, &regs) < 0 ? -errno : 0;
#elif defined(__aarch64__)
	int none = -1;
	struct user_regs_struct regs;
	struct iovec nr = { &none, sizeof(none) }, all = { &regs, sizeof(regs) };
	if (ptrace(PTRACE_GETREGSET, c->pid, NT_PRSTATUS, &all) < 0)
		return -errno;
	regs.regs[0] = (unsigned long)result;
	if (ptrace(PTRACE_SETREGSET, c->pid, NT_PRSTATUS, &all) < 0 ||
	    ptrace(PTRACE_SETREGSET, c->pid, NT_ARM_SYSTEM_CALL, &nr) < 0)
		return -errno;
	return 0;
#else
	(void)c;
	(void)result;
	return -ENOTSUP;
#endif
}

void trace_kill(struct trace *t, const struct trace_call *c)
{
	(void)t;
	/* With the kill pending the kernel skips the call. */
	kill(c->pid, SIGKILL);
}
