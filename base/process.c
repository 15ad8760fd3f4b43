/* Starting and ending a child; process_talk.c is what happens in between. */
#include "base/process_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct pipe_pair {
	int r, w;
};

static void pipe_pair_close(struct pipe_pair *p)
{
	cleanup_close(&p->r);
	cleanup_close(&p->w);
	p->r = p->w = -1;
}

static int pipe_pair_open(struct pipe_pair *p, struct error *e)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a pipe");
	p->r = fds[0];
	p->w = fds[1];
	return 0;
}

/* Everything is written before the fork, so the parent never blocks on a child that reads late. */
static int secret_pipe(const struct secret *s, int *ret_fd, struct error *e)
{
	struct pipe_pair p = { -1, -1 };
	int r = pipe_pair_open(&p, e);
	if (r < 0)
		return r;
	fcntl(p.w, F_SETFL, O_NONBLOCK);
	ssize_t n = write(p.w, s->data, s->len);
	if (n != (ssize_t)s->len) {
		pipe_pair_close(&p);
		return error_set(e, ERROR_FAILED, EFBIG, "a key of %zu bytes does not fit a pipe", s->len);
	}
	*ret_fd = p.r;
	p.r = -1;
	pipe_pair_close(&p);
	return 0;
}

/* Runs in the child between fork and exec: only async-signal-safe calls. */
static void child_exec(const struct process *p, const char *program, char *const env[], const int *fds, size_t n_fds,
		       int in, int out, int err, int report, pid_t parent)
{
	/* Park what must survive above the target numbers, so that dup2 overwrites nothing needed. */
	int high = PROCESS_FD_FIRST + (int)n_fds + 8;
	int parked[PROCESS_SECRETS_MAX * 2 + 3];
	int code;

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		goto fail;
	for (size_t i = 0; i < n_fds; i++)
		if ((parked[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, high)) < 0)
			goto fail;
	int pout = fcntl(out, F_DUPFD_CLOEXEC, high);
	int perr = fcntl(err, F_DUPFD_CLOEXEC, high);
	int preport = fcntl(report, F_DUPFD_CLOEXEC, high);
	int pin = in >= 0 ? fcntl(in, F_DUPFD_CLOEXEC, high) : open("/dev/null", O_RDONLY);
	if (pout < 0 || perr < 0 || preport < 0 || pin < 0)
		goto fail;
	report = preport;
	/* A group of its own, so that a time limit ends what it started too; a session for a terminal. */
	if (p->tty_prompt ? setsid() < 0 || ioctl(pin, TIOCSCTTY, 0) < 0 : p->seconds && setpgid(0, 0) < 0)
		goto fail;
	if (dup2(pin, 0) < 0 || dup2(pout, 1) < 0 || dup2(perr, 2) < 0)
		goto fail;
	for (size_t i = 0; i < n_fds; i++)
		if (dup2(parked[i], PROCESS_FD_FIRST + (int)i) < 0)
			goto fail;
	/* Whatever else is open here is not the child's business. */
	syscall(SYS_close_range, PROCESS_FD_FIRST + (unsigned)n_fds, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
	const struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_DFL);
	if ((code = confine_child(p->confine)) < 0) {
		errno = -code;
		goto fail;
	}
	execve(program, (char *const *)p->argv, env);
fail:
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

/* Whoever calls this program has no say in which others it calls. Not found: the name, and exec says so. */
static void find_program(const char *name, char *ret, size_t len)
{
	snprintf(ret, len, "%s", name);
	for (const char *p = PATH; !strchr(name, '/') && *p;) {
		size_t n = strcspn(p, ":");
		snprintf(ret, len, "%.*s/%.200s", (int)n, p, name);
		if (access(ret, X_OK) == 0)
			return;
		p += n + (p[n] == ':');
	}
}

static char *env_pair(const char *name)
{
	const char *value = getenv(name);
	char *pair = NULL;
	if (!value || asprintf(&pair, "%s=%s", name, value) < 0)
		return NULL;
	return pair;
}

static int wait_for(pid_t pid, int *ret_status)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}

/* What a run holds open, in the parent. */
struct run {
	int fds[PROCESS_SECRETS_MAX * 2];	/* the secrets' pipes, then the caller's descriptors */
	size_t n_fds;
	int in, tty;				/* the child's stdin, or -1; our side of its terminal, or -1 */
	struct pipe_pair out, err, report;
	char *env[5];
	char program[512];
};

static int open_terminal(int *ret_ours, int *ret_child, struct error *e)
{
	char name[64];
	AUTOCLOSE int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ours < 0 || grantpt(ours) < 0 || unlockpt(ours) < 0 || ptsname_r(ours, name, sizeof(name)) != 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a terminal for a child process");
	int child = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (child < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot open a terminal for a child process");
	*ret_ours = TAKE_FD(ours);
	*ret_child = child;
	return 0;
}

static void run_close(const struct process *p, struct run *run)
{
	for (size_t i = 0; i < p->n_secrets && i < run->n_fds; i++)
		close(run->fds[i]);
	for (size_t i = 0; i < ARRAY_LEN(run->env); i++)
		free(run->env[i]);
	cleanup_close(&run->in);
	cleanup_close(&run->tty);
	pipe_pair_close(&run->out);
	pipe_pair_close(&run->err);
	pipe_pair_close(&run->report);
}

static int run_open(const struct process *p, struct run *run, struct process_result *res, struct error *e)
{
	static const char *const names[] = { "HOME", "TMPDIR" };
	size_t n_env = 0;
	int r = 0;
	if (p->n_secrets > PROCESS_SECRETS_MAX || p->n_fds > PROCESS_SECRETS_MAX)
		return error_set(e, ERROR_FAILED, EINVAL, "too many descriptors for a child process");
	for (size_t i = 0; i < p->n_secrets; i++, run->n_fds++)
		if ((r = secret_pipe(p->secrets[i], &run->fds[run->n_fds], e)) < 0)
			return r;
	for (size_t i = 0; i < p->n_fds; i++)
		run->fds[run->n_fds++] = p->fds[i];
	if (p->tty_prompt)
		r = open_terminal(&run->tty, &run->in, e);
	else if (p->input)
		r = secret_pipe(p->input, &run->in, e);
	if (r < 0 || (r = pipe_pair_open(&run->out, e)) < 0 || (r = pipe_pair_open(&run->err, e)) < 0 ||
	    (r = pipe_pair_open(&run->report, e)) < 0)
		return r;
	if (p->stdout_secret && (r = secret_new(p->stdout_max, &res->secret, e)) < 0)
		return r;
	if (p->stdout_max && !p->stdout_secret && !(res->out = calloc(1, p->stdout_max + 1)))
		return error_oom(e);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if ((run->env[n_env] = env_pair(names[i])))
			n_env++;
	if (!(run->env[n_env++] = strdup("PATH=" PATH)))
		return error_oom(e);
	find_program(p->argv[0], run->program, sizeof(run->program));
	run->env[n_env] = strdup("LC_ALL=C");
	return 0;
}

/* 0 when the program was started, else the reason why it was not. */
static int started(const struct process *p, int report, struct error *e)
{
	int code;
	ssize_t n;
	do
		n = read(report, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(code))
		return 0;
	if (code == ENOENT)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "%s is not installed (see `make deps`)", p->argv[0]);
	return error_errno(e, ERROR_FAILED, code, "cannot start %s", p->argv[0]);
}

static int run_child(const struct process *p, struct run *run, struct process_result *res, struct error *e)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot start %s", p->argv[0]);
	if (pid == 0)
		child_exec(p, run->program, run->env, run->fds, run->n_fds, run->in, run->out.w, run->err.w,
			   run->report.w, parent);
	cleanup_close(&run->out.w);
	cleanup_close(&run->err.w);
	cleanup_close(&run->report.w);
	cleanup_close(&run->in);
	run->out.w = run->err.w = run->report.w = run->in = -1;
	int r = started(p, run->report.r, e);
	/* Its silence does not end its time. */
	AUTOCLOSE int life = p->seconds ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	const struct process_ends ends = { run->out.r, run->err.r, run->tty, life };
	if (r == 0 && p->seconds && life < 0)
		r = error_errno(e, ERROR_FAILED, errno, "cannot watch %s", p->argv[0]);
	if (r == 0)
		r = process_talk(p, &ends, res, e);
	/* One that nobody listens to any more may never end by itself. */
	if (r < 0) {
		if (p->seconds || p->tty_prompt)
			kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	}
	int w = wait_for(pid, &res->status);
	if (r == 0 && w < 0)
		r = error_errno(e, ERROR_FAILED, w, "cannot wait for %s", p->argv[0]);
	return r;
}

int process_run(const struct process *p, struct process_result *ret, struct error *e)
{
	struct process_result res = { 0 };
	struct run run = { .in = -1, .tty = -1, .out = { -1, -1 }, .err = { -1, -1 }, .report = { -1, -1 } };
	int r = run_open(p, &run, &res, e);
	if (r == 0)
		r = run_child(p, &run, &res, e);
	run_close(p, &run);
	if (r < 0) {
		process_result_clear(&res);
		return r;
	}
	*ret = res;
	return 0;
}

void process_result_clear(struct process_result *r)
{
	if (r->out)
		secret_wipe(r->out, r->out_len);
	free(r->out);
	secret_free(r->secret);
	*r = (struct process_result){ 0 };
}

int process_run_checked(const struct process *p, struct process_result *ret, struct error *e)
{
	struct process_result res;
	int r = process_run(p, &res, e);
	if (r < 0)
		return r;
	if (res.status != 0) {
		r = error_set(e, ERROR_FAILED, EIO, "%s failed (status %d): %s", p->argv[0], res.status,
			      res.err[0] ? res.err : "no message");
		process_result_clear(&res);
		return r;
	}
	if (ret)
		*ret = res;
	else
		process_result_clear(&res);
	return 0;
}
