/*
 * kill_at CALL N COMMAND...: runs COMMAND and kills the process that makes the N-th system call CALL,
 * before the kernel does it. N 0 kills nothing and prints how many such calls there were. Calls of all
 * threads and children count together. Ends as COMMAND does: with its exit code, or by its signal.
 *
 * kill_at -e ERRNO CALL N COMMAND...: the call fails with this number instead. -s FILE: the process
 * stops there until FILE is removed, for another to run meanwhile; FILE is made when it has stopped.
 *
 * strace can do the first two, but it stops at every call; under emulation that is most of a sweep's time.
 */
#include "tests/fault/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for_removal(const char *file)
{
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	close(fd);
	while (access(file, F_OK) == 0)
		usleep(1000);
}

int main(int argc, char **argv)
{
	struct trace t = { 0 };
	struct trace_call c;
	const char *stop = NULL;
	int option, error = 0;
	long calls = 0;

	while ((option = getopt(argc, argv, "+e:s:")) != -1) {
		if (option == 'e')
			error = atoi(optarg);
		else if (option == 's')
			stop = optarg;
		else
			return 125;
	}
	argv += optind;
	if (argc - optind < 3 || !trace_knows(argv[0])) {
		fprintf(stderr, "usage: kill_at [-e ERRNO|-s FILE] CALL N COMMAND..., "
				"CALL one of those in tests/fault/trace.c\n");
		return 125;
	}
	long at = atol(argv[1]);
	t.only = argv[0];
	int r = trace_start(&t, argv + 2, NULL);
	if (r < 0) {
		fprintf(stderr, "kill_at: %s\n", strerror(-r));
		return 125;
	}
	while (trace_next(&t, &c)) {
		if (++calls != at)
			continue;
		if (stop)
			wait_for_removal(stop);
		else if (error)
			trace_skip(&t, &c, -error);
		else
			trace_kill(&t, &c);
	}
	if (at == 0)
		printf("%ld\n", calls);
	if (WIFSIGNALED(t.status)) {
		signal(WTERMSIG(t.status), SIG_DFL);
		raise(WTERMSIG(t.status));
	}
	return WEXITSTATUS(t.status);
}
