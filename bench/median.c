/*
 * median N COMMAND [ARGUMENT]...: runs the command N times, its output thrown away, and prints the median in
 * milliseconds. A shell's own fork, which takes a few of them, is not in it. "{}" in an argument is the number of
 * the run. Ends with 1 when a run fails.
 */
#include "bench/timing.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* The arguments of run i; what is allocated here lasts as long as the program. */
static char **numbered(int argc, char **argv, int i)
{
	char **ret = calloc((size_t)argc + 1, sizeof(*ret));
	for (int k = 0; ret && k < argc; k++) {
		const char *at = strstr(argv[k], "{}");
		ret[k] = argv[k];
		if (at && asprintf(&ret[k], "%.*s%d%s", (int)(at - argv[k]), argv[k], i, at + 2) < 0)
			return NULL;
	}
	return ret;
}

static int once(char **argv, const posix_spawn_file_actions_t *quiet, double *ret)
{
	pid_t pid;
	int status;
	double began = now_us();
	int r = posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ);
	if (r || waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "median: %s fails: %s\n", argv[0], r ? strerror(r) : "see above");
		return -1;
	}
	*ret = (now_us() - began) / 1e3;
	return 0;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0;
	double *times = n > 0 ? calloc((size_t)n, sizeof(*times)) : NULL;
	posix_spawn_file_actions_t quiet;
	if (!times || posix_spawn_file_actions_init(&quiet) ||
	    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0))
		return 2;
	for (int i = 0; i < n; i++) {
		char **command = numbered(argc - 2, argv + 2, i);
		if (!command || once(command, &quiet, &times[i]) < 0)
			return 1;
	}
	qsort(times, (size_t)n, sizeof(*times), compare);
	printf("%.1f\n", times[n / 2]);
	return 0;
}
