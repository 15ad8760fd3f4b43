/*
 * kill_at CALL N COMMAND...: runs COMMAND and kills the process that makes the N-th system call CALL,
 * before the kernel does it. N 0 kills nothing and prints how many such calls there were. Calls of all
 * threads and children count together. Ends as COMMAND does: with its exit code, or by its signal.
 *
 * strace can do that too, but it stops at every call; a seccomp filter stops only at those that are
 * asked for, seccomp(2), ptrace(2). Under emulation that is most of a sweep's time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned nr;
} known[] = {
	{ "add_key", SYS_add_key },	{ "fallocate", SYS_fallocate }, { "fdatasync", SYS_fdatasync },
	{ "fsync", SYS_fsync },		{ "ftruncate", SYS_ftruncate }, { "ioctl", SYS_ioctl },
	{ "keyctl", SYS_keyctl },	{ "pwrite64", SYS_pwrite64 },	{ "renameat2", SYS_renameat2 },
	{ "unlink", SYS_unlink },	{ "write", SYS_write },
};

static void die(const char *what)
{
	fprintf(stderr, "kill_at: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* In the child: from the exec on, CALL stops for the parent and everything else runs free. */
static void run(unsigned nr, char **command)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
		die("ptrace");
	/* Without this only root may install a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
	execvp(command[0], command);
	die(command[0]);
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	const size_t n_known = sizeof(known) / sizeof(known[0]);
	long at, calls = 0;
	int status, end = 0;
	pid_t child, pid;
	size_t i;

	for (i = 0; argc > 3 && i < n_known && strcmp(known[i].name, argv[1]) != 0; i++)
		;
	if (argc <= 3 || i == n_known) {
		fprintf(stderr, "usage: kill_at CALL N COMMAND..., CALL one of those in tests/fault/kill_at.c\n");
		return 125;
	}
	at = atol(argv[2]);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		run(known[i].nr, argv + 3);
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, child, NULL, options) < 0 ||
	    ptrace(PTRACE_CONT, child, NULL, 0) < 0)
		die("ptrace");
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		int sig;

		if (!WIFSTOPPED(status)) {
			if (pid == child)
				end = status;
			continue;
		}
		sig = WSTOPSIG(status);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8) && ++calls == at) {
			/* With the kill pending the kernel skips the call. */
			if (kill(pid, SIGKILL) < 0)
				die("kill");
			sig = 0;
		} else if (status >> 16 != 0 || sig == SIGSTOP) {
			sig = 0; /* an event, or the first stop of a new thread */
		}
		/* It may be gone by now. */
		(void)ptrace(PTRACE_CONT, pid, NULL, sig);
	}
	if (at == 0)
		printf("%ld\n", calls);
	if (WIFSIGNALED(end)) {
		signal(WTERMSIG(end), SIG_DFL);
		raise(WTERMSIG(end));
	}
	return WEXITSTATUS(end);
}
