#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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
static void child_exec(const struct process *p, char *const env[], const int *fds, size_t n_fds,
		       int out, int err, int report, pid_t parent)
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
	int null = open("/dev/null", O_RDONLY);
	if (pout < 0 || perr < 0 || preport < 0 || null < 0)
		goto fail;
	report = preport;
	if (dup2(null, 0) < 0 || dup2(pout, 1) < 0 || dup2(perr, 2) < 0)
		goto fail;
	for (size_t i = 0; i < n_fds; i++)
		if (dup2(parked[i], PROCESS_FD_FIRST + (int)i) < 0)
			goto fail;
	/* Whatever else is open here is not the child's business. */
	syscall(SYS_close_range, PROCESS_FD_FIRST + (unsigned)n_fds, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
	const struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_DFL);
	execvpe(p->argv[0], (char *const *)p->argv, env);
fail:
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

/* The end of what the child wrote to stderr; more than a line, less than it could make us hold. */
struct tail {
	char text[4096];
	size_t len;
};

static void tail_add(struct tail *t, const char *chunk, size_t len)
{
	if (len > sizeof(t->text)) {
		chunk += len - sizeof(t->text);
		len = sizeof(t->text);
	}
	if (len > sizeof(t->text) - t->len) {
		size_t drop = len - (sizeof(t->text) - t->len);
		memmove(t->text, t->text + drop, t->len - drop);
		t->len -= drop;
	}
	memcpy(t->text + t->len, chunk, len);
	t->len += len;
}

/* The last line that is not empty; of a very long one its end, which is where the reason stands. */
static void tail_last_line(const struct tail *t, char *line, size_t size)
{
	size_t end = t->len;
	while (end && (t->text[end - 1] == '\n' || t->text[end - 1] == '\r'))
		end--;
	size_t start = end;
	while (start && t->text[start - 1] != '\n' && end - start < size - 1)
		start--;
	memcpy(line, t->text + start, end - start);
	line[end - start] = 0;
}

static int drain(const struct process *p, int out, int err, struct process_result *res,
		 struct error *e)
{
	struct pollfd pfd[2] = { { out, POLLIN, 0 }, { err, POLLIN, 0 } };
	struct tail tail = { .len = 0 };
	char chunk[4096];
	while (pfd[0].fd >= 0 || pfd[1].fd >= 0) {
		if (poll(pfd, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_errno(e, ERROR_FAILED, errno, "cannot wait for %s", p->argv[0]);
		}
		for (int i = 0; i < 2; i++) {
			if (!pfd[i].revents)
				continue;
			ssize_t n = read(pfd[i].fd, chunk, sizeof(chunk));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				pfd[i].fd = -1;
			} else if (i == 1) {
				tail_add(&tail, chunk, (size_t)n);
			} else if (res->out && res->out_len < p->stdout_max) {
				size_t room = p->stdout_max - res->out_len;
				size_t take = (size_t)n < room ? (size_t)n : room;
				memcpy(res->out + res->out_len, chunk, take);
				res->out_len += take;
				res->out[res->out_len] = 0;
			}
		}
	}
	tail_last_line(&tail, res->err, sizeof(res->err));
	return 0;
}

static char *env_pair(const char *name, const char *fallback)
{
	const char *value = getenv(name);
	char *pair = NULL;
	if (!value)
		value = fallback;
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

int process_run(const struct process *p, struct process_result *ret, struct error *e)
{
	int fds[PROCESS_SECRETS_MAX * 2];
	size_t n_fds = 0;
	struct pipe_pair out = { -1, -1 }, err = { -1, -1 }, report = { -1, -1 };
	struct process_result res = { 0 };
	char *env[5] = { 0 };
	size_t n_env = 0;
	pid_t pid = -1;
	int r;

	if (p->n_secrets > PROCESS_SECRETS_MAX || p->n_fds > PROCESS_SECRETS_MAX)
		return error_set(e, ERROR_FAILED, EINVAL, "too many descriptors for a child process");
	for (size_t i = 0; i < p->n_secrets; i++, n_fds++)
		if ((r = secret_pipe(p->secrets[i], &fds[n_fds], e)) < 0)
			goto out;
	for (size_t i = 0; i < p->n_fds; i++)
		fds[n_fds++] = p->fds[i];
	if ((r = pipe_pair_open(&out, e)) < 0 || (r = pipe_pair_open(&err, e)) < 0 ||
	    (r = pipe_pair_open(&report, e)) < 0)
		goto out;
	if (p->stdout_max && !(res.out = calloc(1, p->stdout_max + 1))) {
		r = error_oom(e);
		goto out;
	}
	const char *names[][2] = {
		{ "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
		{ "HOME", NULL },
		{ "TMPDIR", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if ((env[n_env] = env_pair(names[i][0], names[i][1])))
			n_env++;
	if ((env[n_env] = strdup("LC_ALL=C")))
		n_env++;

	pid_t parent = getpid();
	pid = fork();
	if (pid < 0) {
		r = error_errno(e, ERROR_FAILED, errno, "cannot start %s", p->argv[0]);
		goto out;
	}
	if (pid == 0)
		child_exec(p, env, fds, n_fds, out.w, err.w, report.w, parent);
	cleanup_close(&out.w);
	cleanup_close(&err.w);
	cleanup_close(&report.w);
	out.w = err.w = report.w = -1;

	int code;
	ssize_t n;
	do
		n = read(report.r, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(code)) {
		wait_for(pid, &res.status);
		r = code == ENOENT ? error_set(e, ERROR_NOT_FOUND, ENOENT,
					       "%s is not installed (see `make deps`)", p->argv[0])
				   : error_errno(e, ERROR_FAILED, code, "cannot start %s", p->argv[0]);
		goto out;
	}
	r = drain(p, out.r, err.r, &res, e);
	/* One that nobody listens to any more may never end by itself. */
	if (r < 0)
		kill(pid, SIGKILL);
	int w = wait_for(pid, &res.status);
	if (r == 0 && w < 0)
		r = error_errno(e, ERROR_FAILED, w, "cannot wait for %s", p->argv[0]);
out:
	for (size_t i = 0; i < p->n_secrets && i < n_fds; i++)
		close(fds[i]);
	for (size_t i = 0; i < n_env; i++)
		free(env[i]);
	pipe_pair_close(&out);
	pipe_pair_close(&err);
	pipe_pair_close(&report);
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
