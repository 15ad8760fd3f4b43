#include "cmd/terminal.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

/* What ends a process and would leave the terminal without echo. */
static const int ending[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };

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
	struct sigaction was[ARRAY_LEN(ending)];
};

static void guard_begin(struct guard *g)
{
	const struct sigaction noted = { .sa_handler = note_signal };
	sigset_t block;
	sigemptyset(&block);
	/* Stopped with Ctrl-Z it would leave the shell without echo: that waits for the answer. */
	sigaddset(&block, SIGTSTP);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaddset(&block, ending[i]);
	sigprocmask(SIG_BLOCK, &block, &g->before);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		sigaction(ending[i], NULL, &g->was[i]);
		if (g->was[i].sa_handler != SIG_IGN)
			sigaction(ending[i], &noted, NULL);
	}
}

static void guard_end(const struct guard *g)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &g->was[i], NULL);
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

int terminal_read_silent(int tty, const char *prompt, struct secret **ret, struct error *e)
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
	silent.c_lflag &= ~(tcflag_t)ECHO;
	guard_begin(&guard);
	r = tcsetattr(tty, TCSAFLUSH, &silent) < 0 ? -errno : 0;
	if (r == 0) {
		terminal_ask(tty, prompt);
		r = read_line(tty, &guard.before, s, &len);
		tcsetattr(tty, TCSAFLUSH, &old);
		print(tty, "\n");
	}
	guard_end(&guard);
	if (stopped_by)
		return error_set(e, ERROR_FAILED, EINTR, "stopped");
	if (r < 0)
		return error_errno(e, ERROR_FAILED, r, "cannot turn off the echo of the terminal");
	if (!len)
		return error_set(e, ERROR_USAGE, EINVAL, "the passphrase is empty");
	if (len == s->len)
		return error_set(e, ERROR_USAGE, EINVAL, "the passphrase is too long");
	s->data[len] = 0;
	s->len = len;
	*ret = TAKE_PTR(s);
	return 0;
}
