#include "tests/fault/case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void cannot(const char *what, const char *name)
{
	fprintf(stderr, "cannot %s %s: %s\n", what, name, strerror(errno));
	exit(125);
}

static void join(char *ret, const char *dir, const char *name)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		cannot("use", name);
}

static void remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	char name[PATH_MAX];
	if (!d)
		return;
	for (const struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		join(name, dir, e->d_name);
		if (unlink(name) == 0 || errno != EISDIR)
			continue;
		remove_all(name);
		rmdir(name);
	}
	closedir(d);
}

/* Only what is not a hole. */
static void copy_file(const char *from, const char *to, const struct stat *st)
{
	static char buf[1 << 20];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
	if (in < 0 || out < 0 || ftruncate(out, st->st_size) < 0)
		cannot("copy", from);
	off_t hole = 0, data;
	while ((data = lseek(in, hole, SEEK_DATA)) >= 0 && (hole = lseek(in, data, SEEK_HOLE)) >= 0)
		for (ssize_t n; data < hole; data += n) {
			size_t want = (size_t)(hole - data) < sizeof(buf) ? (size_t)(hole - data) : sizeof(buf);
			n = pread(in, buf, want, data);
			if (n <= 0 || pwrite(out, buf, (size_t)n, data) != n)
				cannot("copy", from);
		}
	close(in);
	close(out);
}

static void copy_all(const char *from, const char *to)
{
	DIR *d = opendir(from);
	char a[PATH_MAX], b[PATH_MAX];
	struct stat st;
	if (!d)
		cannot("read", from);
	for (const struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		join(a, from, e->d_name);
		join(b, to, e->d_name);
		if (lstat(a, &st) < 0)
			cannot("read", a);
		if (S_ISDIR(st.st_mode)) {
			if (mkdir(b, st.st_mode & 07777) < 0)
				cannot("make", b);
			copy_all(a, b);
		} else if (S_ISREG(st.st_mode)) {
			copy_file(a, b, &st);
		}
	}
	closedir(d);
}

void place_make(struct place *p)
{
	const char *base = getenv("FAULT_DIR");
	char keystore[PATH_MAX], pins[PATH_MAX], socket[PATH_MAX + 64];
	umask(077);
	if (!realpath("tests/fault/states", p->states))
		cannot("find", "tests/fault/states");
	snprintf(p->work, sizeof(p->work), "%s/kvmcrypt-fault.XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(p->work))
		cannot("make", p->work);
	join(p->dir, p->work, "case");
	join(p->state, p->work, "state");
	join(p->stash, p->work, "stash");
	join(p->out, p->work, "out");
	join(keystore, p->dir, "keystore");
	join(pins, p->dir, "pins");
	if (mkdir(p->dir, 0700) < 0 || mkdir(p->state, 0700) < 0 || mkdir(p->stash, 0700) < 0 || chdir(p->dir) < 0)
		cannot("make", p->dir);
	/* No command may reach a libvirt of this machine. */
	snprintf(socket, sizeof(socket), "qemu+unix:///system?socket=%s/no-libvirt", p->work);
	setenv("KVMCRYPT_KEYSTORE", keystore, 1);
	setenv("KVMCRYPT_PINS", pins, 1);
	setenv("LIBVIRT_DEFAULT_URI", socket, 1);
	setenv("K", p->program, 1);
}

void place_remove(struct place *p)
{
	char said[4096];
	run_line(p, "seal -q", said, sizeof(said));
	if (chdir("/") < 0)
		cannot("change to", "/");
	remove_all(p->work);
	rmdir(p->work);
}

bool place_state(struct place *p, const char *name)
{
	char said[4096], script[PATH_MAX + 64];
	char *argv[] = { "/bin/sh", "-euc", script, NULL };
	snprintf(script, sizeof(script), ". %s; state_%s", p->states, name);
	run_line(p, "seal -q", said, sizeof(said));
	remove_all(p->dir);
	remove_all(p->state);
	int status = run_capture(argv, said, sizeof(said));
	if (status != 0) {
		printf("# cannot make the state %s: %s\n", name, said);
		return false;
	}
	copy_all(p->dir, p->state);
	return true;
}

void place_restore(const struct place *p)
{
	remove_all(p->dir);
	copy_all(p->state, p->dir);
}

char **words_split(const char *program, const char *line)
{
	size_t n = 0;
	char **words = calloc(strlen(line) + 3, sizeof(*words)), *copy = strdup(line), *save = NULL;
	if (!words || !copy)
		abort();
	words[n++] = strdup(program);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[n++] = strdup(w);
	free(copy);
	return words;
}

void words_free(char **words)
{
	for (char **w = words; *w; w++)
		free(*w);
	free(words);
}

int run_capture(char *const argv[], char *ret, size_t size)
{
	int ends[2], status;
	size_t n = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		cannot("make", "a pipe");
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		if (dup2(null, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0)
			_exit(125);
		execv(argv[0], argv);
		_exit(125);
	}
	close(ends[1]);
	for (ssize_t got = 1; got > 0;) {
		char rest[512];
		bool room = n + 1 < size;
		got = room ? read(ends[0], ret + n, size - 1 - n) : read(ends[0], rest, sizeof(rest));
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (room && got > 0)
			n += (size_t)got;
	}
	ret[n] = 0;
	close(ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int run_line(const struct place *p, const char *line, char *ret, size_t size)
{
	char **words = words_split(p->program, line);
	int status = run_capture(words, ret, size);
	words_free(words);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
