#include "cmd/terminal.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

/*
 * What ends a process, and would leave the terminal without echo: all but what the system ignores or only stops it
 * with, and what cannot be caught.
 */
static bool is_ending(int signal)
{
	static const int others[] = { SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (others[i] == signal)
			return false;
	/* The first two of real time are the C library's. */
	return signal < 32 || signal >= SIGRTMIN;
}

static volatile sig_atomic_t stopped_by;

int terminal_stopped_by(void)
{
	return stopped_by;
}

int terminal_open(void)
{
	return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

static void print(int tty, const char *text)
{
	size_t len = strlen(text);
	if (write(tty, text, len) != (ssize_t)len)
		return;
}

void terminal_ask(int tty, const char *question)
{
	char text[1400];
	snprintf(text, sizeof(text), "%s", question);
	text_make_printable(text);
	print(tty, text);
}

void terminal_end_line(int tty)
{
	print(tty, "\n");
}

static void note_signal(int signal)
{
	stopped_by = signal;
}

/* While the echo is off, signals are blocked and arrive only where they are waited for. */
struct guard {
	sigset_t before;
	struct sigaction was[NSIG];
};

static void guard_begin(struct guard *g)
{
	const struct sigaction noted = { .sa_handler = note_signal };
	sigset_t block;
	sigemptyset(&block);
	/* Stopped with Ctrl-Z it would leave the shell without echo: that waits for the answer. */
	sigaddset(&block, SIGTSTP);
	for (int i = 1; i < NSIG; i++)
		if (is_ending(i))
			sigaddset(&block, i);
	sigprocmask(SIG_BLOCK, &block, &g->before);
	for (int i = 1; i < NSIG; i++) {
		if (!is_ending(i))
			continue;
		sigaction(i, NULL, &g->was[i]);
		if (g->was[i].sa_handler != SIG_IGN)
			sigaction(i, &noted, NULL);
	}
}

static void guard_end(const struct guard *g)
{
	for (int i = 1; i < NSIG; i++)
		if (is_ending(i))
			sigaction(i, &g->was[i], NULL);
	sigprocmask(SIG_SETMASK, &g->before, NULL);
}

/* One byte: 1, 0 at the end or when the terminal is gone, -EINTR when a signal ends us. */
static int read_byte(int tty, const sigset_t *mask, unsigned char *ret)
{
	sigset_t waiting = *mask;
	sigaddset(&waiting, SIGTSTP);
	for (;;) {
		struct pollfd p = { .fd = tty, .events = POLLIN };
		int n = ppoll(&p, 1, NULL, &waiting);
		if (stopped_by)
			return -EINTR;
		if (n < 0 && errno != EINTR)
			return 0;
		if (n <= 0)
			continue;
		ssize_t got = read(tty, ret, 1);
		if (got >= 0 || errno != EINTR)
			return got == 1;
	}
}

static int read_line(int tty, const sigset_t *mask, struct secret *s, size_t *ret_len)
{
	size_t len = 0;
	int r = 0;
	while (len < s->len && (r = read_byte(tty, mask, s->data + len)) == 1 && s->data[len] != '\n')
		len++;
	*ret_len = len;
	return r < 0 ? r : 0;
}

static int read_answer(int tty, const char *prompt, bool echo, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	struct termios old, silent;
	struct guard guard;
	size_t len = 0;
	int r = secret_new(4096, &s, e);
	if (r < 0)
		return r;
	if (tcgetattr(tty, &old) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot read from the terminal");
	silent = old;
	if (!echo)
		silent.c_lflag &= ~(tcflag_t)ECHO;
	guard_begin(&guard);
	r = tcsetattr(tty, TCSAFLUSH, &silent) < 0 ? -errno : 0;
	if (r == 0) {
		terminal_ask(tty, prompt);
		r = read_line(tty, &guard.before, s, &len);
		tcsetattr(tty, TCSAFLUSH, &old);
		if (!echo)
			print(tty, "\n");
	}
	guard_end(&guard);
	if (stopped_by)
		return error_set(e, ERROR_FAILED, EINTR, "stopped");
	if (r < 0)
		return error_errno(e, ERROR_FAILED, r, "cannot turn off the echo of the terminal");
	if (!len)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is empty", echo ? "the answer" : "the passphrase");
	if (len == s->len)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is too long", echo ? "the answer" : "the passphrase");
	s->data[len] = 0;
	s->len = len;
	*ret = TAKE_PTR(s);
	return 0;
}

int terminal_read_silent(int tty, const char *prompt, struct secret **ret, struct error *e)
{
	return read_answer(tty, prompt, false, ret, e);
}

int terminal_read_line(int tty, const char *prompt, struct secret **ret, struct error *e)
{
	return read_answer(tty, prompt, true, ret, e);
}
