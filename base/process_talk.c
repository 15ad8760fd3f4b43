/* Between start and end of a child: its output, its terminal, its time. */
#include "base/process_internal.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ANSWERS_MAX 4 /* a program that asks on has not liked the answer */

/* The end of what the child wrote; more than a line, less than it could make us hold. */
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

struct talk {
	const struct process *p;
	struct process_result *res;
	struct pollfd fds[4];	/* stdout, stderr, terminal, its life */
	struct tail err, tty;
	size_t secret_len;
	int answers;
};

/* A key goes from the pipe to where it stays, not through a buffer of ours. */
static ssize_t read_secret(struct talk *t, int fd)
{
	unsigned char rest;
	size_t room = t->p->stdout_max - t->secret_len;
	ssize_t n = room ? read(fd, t->res->secret->data + t->secret_len, room) : read(fd, &rest, 1);
	if (n > 0 && room)
		t->secret_len += (size_t)n;
	return n;
}

static ssize_t read_out(struct talk *t, int fd, char *chunk, size_t size)
{
	struct process_result *res = t->res;
	if (res->secret)
		return read_secret(t, fd);
	ssize_t n = read(fd, chunk, size);
	if (n > 0 && res->out && res->out_len < t->p->stdout_max) {
		size_t room = t->p->stdout_max - res->out_len;
		size_t take = (size_t)n < room ? (size_t)n : room;
		memcpy(res->out + res->out_len, chunk, take);
		res->out_len += take;
		res->out[res->out_len] = 0;
	}
	return n;
}

static int type_answer(struct talk *t, int fd, struct error *e)
{
	const struct secret *a = t->p->tty_answer;
	if (!memmem(t->tty.text, t->tty.len, t->p->tty_prompt, strlen(t->p->tty_prompt)))
		return 0;
	t->tty.len = 0;
	if (t->answers++ == ANSWERS_MAX)
		return error_set(e, ERROR_FAILED, EINVAL, "%s asks again and again", t->p->argv[0]);
	if (write(fd, a->data, a->len) != (ssize_t)a->len || write(fd, "\n", 1) != 1)
		return error_errno(e, ERROR_FAILED, errno, "cannot answer %s", t->p->argv[0]);
	return 0;
}

static int hear(struct talk *t, int i, struct error *e)
{
	char chunk[4096];
	int fd = t->fds[i].fd;
	if (i == 3) {
		t->fds[i].fd = -1;
		return 0;
	}
	ssize_t n = i == 0 ? read_out(t, fd, chunk, sizeof(chunk)) : read(fd, chunk, sizeof(chunk));
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) { /* a terminal that the child has left reads as EIO */
		t->fds[i].fd = -1;
		return 0;
	}
	if (i == 0)
		return 0;
	tail_add(i == 1 ? &t->err : &t->tty, chunk, (size_t)n);
	if (i == 2)
		secret_wipe(chunk, (size_t)n);
	return i == 2 ? type_answer(t, fd, e) : 0;
}

int process_talk(const struct process *p, const struct process_ends *ends, struct process_result *res, struct error *e)
{
	struct talk t = {
		.p = p,
		.res = res,
		.fds = { { ends->out, POLLIN, 0 },
			 { ends->err, POLLIN, 0 },
			 { ends->tty, POLLIN, 0 },
			 { ends->life, POLLIN, 0 } },
	};
	int64_t end = clock_ms() + p->seconds * 1000LL;
	int r = 0;
	while (r == 0 && (t.fds[0].fd >= 0 || t.fds[1].fd >= 0 || t.fds[3].fd >= 0)) {
		int64_t left = end - clock_ms();
		int n = p->seconds && left <= 0 ? 0 : poll(t.fds, ARRAY_LEN(t.fds), p->seconds ? (int)left : -1);
		if (n < 0 && errno != EINTR)
			r = error_errno(e, ERROR_FAILED, errno, "cannot wait for %s", p->argv[0]);
		else if (n == 0)
			r = error_set(e, ERROR_FAILED, ETIMEDOUT, "%s gave no answer in %u seconds", p->argv[0],
				      p->seconds);
		for (int i = 0; n > 0 && r == 0 && i < (int)ARRAY_LEN(t.fds); i++)
			if (t.fds[i].fd >= 0 && t.fds[i].revents)
				r = hear(&t, i, e);
	}
	/* A PIN may have been echoed there before the program turned that off. */
	secret_wipe(&t.tty, sizeof(t.tty));
	tail_last_line(&t.err, res->err, sizeof(res->err));
	if (res->secret) {
		res->secret->len = t.secret_len;
		if (!t.secret_len) {
			secret_free(res->secret);
			res->secret = NULL;
		}
	}
	return r;
}
