#include "keystore/seal/plugin.h"

#include "base/clock.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PASSPHRASE_MAX 4096

/* What the child sends: the plug-in's result, then the passphrase. */
struct pipes {
	int result[2], words[2], pin[2];
};

typedef int (*open_pin_fn)(struct crypt_device *, int, const char *, size_t, char **, size_t *, void *);

static void pipes_close(struct pipes *p)
{
	int *all[] = { p->result, p->words, p->pin };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (int k = 0; k < 2; k++) {
			cleanup_close(&all[i][k]);
			all[i][k] = -1;
		}
}

static int pipes_open(struct pipes *p, const struct secret *pin)
{
	if (pipe2(p->result, O_CLOEXEC) < 0 || pipe2(p->words, O_CLOEXEC) < 0 || pipe2(p->pin, O_CLOEXEC) < 0)
		return -errno;
	/* Before the fork: secrets are wiped in the child. */
	if (pin && write(p->pin[1], pin->data, pin->len) != (ssize_t)pin->len)
		return -EIO;
	return 0;
}

static void log_to_stderr(int level, const char *msg, void *ctx)
{
	(void)ctx;
	if (level == CRYPT_LOG_ERROR)
		fputs(msg, stderr);
}

static open_pin_fn load_plugin(const char *type)
{
	char path[512];
	const char *dir = crypt_token_external_path();
	snprintf(path, sizeof(path), "%s/libcryptsetup-token-%s.so", dir ? dir : "", type);
	void *lib = dir ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	return lib ? (open_pin_fn)dlsym(lib, "cryptsetup_token_open_pin") : NULL;
}

/* In the child; whatever it leaves in memory is gone with it. */
static int open_in_child(struct crypt_device *cd, const struct token_plugin *p, struct pipes *io)
{
	char pin[512], *passphrase = NULL;
	size_t len = 0;
	ssize_t pin_len = p->pin ? read(io->pin[0], pin, sizeof(pin)) : 0;
	open_pin_fn fn = load_plugin(p->type);
	int r = !fn ? -ENOSYS : pin_len < 0 ? -EIO
		    : fn(cd, p->token, p->pin ? pin : NULL, (size_t)pin_len, &passphrase, &len, p->params);
	secret_wipe(pin, sizeof(pin));
	if (r >= 0 && (!passphrase || !len || len > PASSPHRASE_MAX))
		r = -EBADMSG;
	if (write(io->result[1], &r, sizeof(r)) != (ssize_t)sizeof(r))
		return 1;
	return r >= 0 && write(io->result[1], passphrase, len) != (ssize_t)len;
}

static void run_child(struct crypt_device *cd, const struct token_plugin *p, struct pipes *io, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(io->words[1], STDERR_FILENO) < 0 ||
	    dup2(io->words[1], STDOUT_FILENO) < 0)
		_exit(1);
	/* Best effort: an ordinary user may lock too little for the plug-in's libraries. */
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	crypt_set_log_callback(cd, log_to_stderr, NULL);
	int code = open_in_child(cd, p, io);
	fflush(stderr);
	_exit(code);
}

/* Its last line without colours and the like. */
static void last_line(const char *text, size_t len, char said[512])
{
	size_t n = 0;
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
		len--;
	size_t at = len;
	while (at && text[at - 1] != '\n')
		at--;
	for (; at < len && n < 511; at++) {
		if (text[at] == '\033') /* ECMA-48: ESC [ parameters final byte */
			while (at < len && !strchr("mKHJ", text[at]))
				at++;
		else if ((unsigned char)text[at] >= 0x20)
			said[n++] = text[at];
	}
	said[n] = 0;
}

/* Reads both pipes to their ends or to the time limit. */
static int listen_to(const struct pipes *io, unsigned seconds, struct secret *buf, size_t *ret_len,
		     struct token_words *said)
{
	struct pollfd fds[2] = { { io->result[0], POLLIN, 0 }, { io->words[0], POLLIN, 0 } };
	int64_t end = clock_ms() + seconds * 1000LL;
	char *words = said->all;
	const size_t room = sizeof(said->all) - 1;
	size_t n_words = 0, got = 0;
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left = end - clock_ms();
		int n = left > 0 ? poll(fds, 2, (int)left) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ETIMEDOUT;
		if (fds[0].revents) {
			ssize_t k = read(fds[0].fd, buf->data + got, buf->len - got);
			got += k > 0 ? (size_t)k : 0;
			fds[0].fd = k > 0 ? fds[0].fd : -1;
		}
		if (fds[1].fd >= 0 && fds[1].revents) {
			if (n_words > room / 2) { /* the end is what counts */
				memmove(words, words + n_words / 2, n_words - n_words / 2);
				n_words -= n_words / 2;
			}
			ssize_t k = read(fds[1].fd, words + n_words, room - n_words);
			n_words += k > 0 ? (size_t)k : 0;
			fds[1].fd = k > 0 ? fds[1].fd : -1;
		}
	}
	words[n_words] = 0;
	last_line(words, n_words, said->last);
	*ret_len = got;
	return 0;
}

static int take_result(const struct secret *buf, size_t got, struct secret **ret)
{
	int result;
	if (got < sizeof(result))
		return -EPIPE; /* the plug-in took the child with it */
	memcpy(&result, buf->data, sizeof(result));
	if (result < 0)
		return result;
	return secret_copy(buf->data + sizeof(result), got - sizeof(result), ret, NULL);
}

int token_plugin_open(struct crypt_device *cd, const struct token_plugin *p, struct secret **ret,
		      struct token_words *said)
{
	AUTOSECRET struct secret *buf = NULL;
	CLEANUP(pipes_close) struct pipes io = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	size_t got = 0;
	said->last[0] = said->all[0] = 0;
	int r = secret_new(sizeof(int) + PASSPHRASE_MAX, &buf, NULL);
	if (r < 0 || (r = pipes_open(&io, p->pin)) < 0)
		return r;
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(cd, p, &io, parent);
	cleanup_close(&io.result[1]);
	cleanup_close(&io.words[1]);
	io.result[1] = io.words[1] = -1;
	r = listen_to(&io, p->seconds, buf, &got, said);
	/* One that has closed its pipes has nothing more to do, whether it ends by itself or not. */
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? r : take_result(buf, got, ret);
}
