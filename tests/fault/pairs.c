/*
 * pairs [-s STEP] [-p I/N] [-n] PROGRAM [FIRST[+SECOND]...]: for every ordered pair of the commands of verbs.c, the
 * first is stopped before each call that takes a lock, opens, names or syncs a file; the second runs until it ends
 * or waits; the first goes on. Then it has to look as if one had come after the other, exit codes too, or as if
 * one had failed and the other been alone. Nothing is recovered before that look: nobody died.
 *
 * -s: only every STEP-th stop of all. -p: the I-th of N parts. -n: counts only.
 */
#include "tests/fault/look.h"
#include "tests/fault/trace.h"
#include "tests/fault/verbs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 300
#define STOPS (TRACE_LOCK | TRACE_OPEN | TRACE_NAME | TRACE_SYNC)
/* As often it is seen asleep, a millisecond apart, before it is taken to wait. */
#define ASLEEP 4
#define LOOK_SECONDS 20

struct outcome {
	int first, second;	/* exit codes; -1: it did not run */
	char text[LOOK_MAX];
};

static struct place place;
static struct look_base base;
static struct outcome first_alone, second_alone, one_two, two_one, now;
static char one[256], two[256], said[65536], where[PATH_MAX + 64];
static bool check;	/* the store, too: one of the two is about it */
static long part = 1, n_parts = 1, n_case, step = 1, stops, waited, bad, known, total, total_waited, total_bad;
static bool count_only;

static int code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* One thread of it: 1 sleeps or waits for a lock, 0 waits for another thread or child, -1 works. */
static int thread_waits(const char *task, const char *tid)
{
	char name[PATH_MAX + 300], line[256];
	unsigned long nr, a[3] = { 0 };
	snprintf(name, sizeof(name), "%s/%s/syscall", task, tid);
	FILE *f = fopen(name, "re");
	bool got = f && fgets(line, sizeof(line), f);
	if (f)
		fclose(f);
	if (!got || sscanf(line, "%lu %lx %lx %lx", &nr, &a[0], &a[1], &a[2]) < 2)
		return -1;
	if (nr == SYS_nanosleep || nr == SYS_clock_nanosleep || nr == SYS_flock ||
	    (nr == SYS_fcntl && (a[1] == F_SETLKW || a[1] == F_OFD_SETLKW)))
		return 1;
	return nr == SYS_futex || nr == SYS_wait4 || nr == SYS_waitid ? 0 : -1;
}

static bool waits(pid_t pid)
{
	char task[64];
	int asleep = 0;
	snprintf(task, sizeof(task), "/proc/%d/task", pid);
	DIR *d = opendir(task);
	if (!d)
		return false;
	for (const struct dirent *e; (e = readdir(d));) {
		int w = e->d_name[0] == '.' ? 0 : thread_waits(task, e->d_name);
		if (w < 0)
			asleep = -1000000;
		asleep += w;
	}
	closedir(d);
	return asleep > 0;
}

/* Starts the second, untraced, and comes back when it has ended or waits. */
static void run_second(struct trace *t, char *const argv[])
{
	char out[PATH_MAX + 8];
	int asleep = 0;
	snprintf(out, sizeof(out), "%s.2", place.out);
	t->other = fork();
	if (t->other == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDONLY);
		if (dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(125);
		execv(argv[0], argv);
		_exit(125);
	}
	for (time_t end = time(NULL) + LOOK_SECONDS; asleep < ASLEEP && time(NULL) < end; pause_ms(1)) {
		if (waitpid(t->other, &t->other_status, WNOHANG) == t->other) {
			t->other = 0;
			return;
		}
		asleep = waits(t->other) ? asleep + 1 : 0;
	}
	waited++;
}

/* The first with the second at its N-th stop; N 0: alone. How many stops there were. */
static long run(const char *first, const char *second, long at, struct outcome *ret)
{
	struct trace t = { .groups = STOPS };
	struct trace_call c;
	char **a = words_split(place.program, first), **b = words_split(place.program, second ? second : "");
	long n = 0;
	bool hit = false;
	alarm(CASE_SECONDS);
	place_restore(&place);
	snprintf(t.dir, sizeof(t.dir), "%s", place.dir);
	if (trace_start(&t, a, place.out) < 0)
		abort();
	while (trace_next(&t, &c)) {
		if (hit || ++n != at)
			continue;
		hit = true;
		snprintf(where, sizeof(where), "%s %s", c.name, c.path + strlen(place.dir));
		run_second(&t, b);
	}
	words_free(a);
	words_free(b);
	ret->first = code_of(t.status);
	ret->second = hit ? code_of(t.other_status) : -1;
	if (!at || hit)
		look_at(&place, "keystore", &base, check, ret->text);
	return at && !hit ? 0 : n;
}

static void run_serial(const char *first, const char *second, struct outcome *ret)
{
	alarm(CASE_SECONDS);
	place_restore(&place);
	ret->first = run_line(&place, first, said, sizeof(said));
	ret->second = second ? run_line(&place, second, said, sizeof(said)) : -1;
	look_at(&place, "keystore", &base, check, ret->text);
}

static bool equal(const struct outcome *o, int first, int second)
{
	return o->first == first && o->second == second && !strcmp(o->text, now.text);
}

/* A command that failed beside the other may have been the only one that was not there. */
static bool is_true(const struct pair_verb *a, const struct pair_verb *b)
{
	bool serial = !strcmp(now.text, one_two.text) || !strcmp(now.text, two_one.text);
	if (!look_is_sound(now.text))
		return false;
	if (serial && ((a->many && now.first != 0) || (b->many && now.second != 0)))
		return true;
	return equal(&one_two, now.first, now.second) || equal(&two_one, now.second, now.first) ||
	       (now.second != 0 && equal(&first_alone, now.first, -1)) ||
	       (now.first != 0 && equal(&second_alone, now.second, -1));
}

static void indent(const char *what, const struct outcome *o)
{
	char copy[LOOK_MAX], *save = NULL;
	snprintf(copy, sizeof(copy), "%s", o->text);
	printf("#   %s: exit %d, %d\n", what, o->first, o->second);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "file keystore/", 14) != 0)
			printf("#     %s\n", line);
}

static void print_file(const char *what, const char *name)
{
	char line[512];
	FILE *f = fopen(name, "re");
	for (int n = 0; f && n < 4 && fgets(line, sizeof(line), f); n++)
		printf("#   %s said: %s%s", what, line, strchr(line, '\n') ? "" : "\n");
	if (f)
		fclose(f);
}

static void complain(const struct pair_verb *a, const struct pair_verb *b, long at)
{
	char out[PATH_MAX + 8];
	*(a->open || b->open ? &known : &bad) += 1;
	printf("# %s + %s, at stop %ld (%s): this is no order of the two\n", a->name, b->name, at, where);
	print_file("first", place.out);
	snprintf(out, sizeof(out), "%s.2", place.out);
	print_file("second", out);
	indent("now", &now);
	now.first = run_line(&place, "recover -q --no-libvirt", said, sizeof(said));
	now.second = -1;
	look_at(&place, "keystore", &base, check, now.text);
	if (now.first == 0 && look_is_sound(now.text))
		printf("#   recover makes it sound\n");
	else
		indent("after recover", &now);
	indent("one, then the other", &one_two);
	indent("the other way round (exit codes too)", &two_one);
	fflush(stdout);
}

static void expand(const char *line, const char *suffix, char *ret, size_t size)
{
	ret[0] = 0;
	for (const char *at; (at = strchr(line, '@')); line = at + 1)
		snprintf(ret + strlen(ret), size - strlen(ret), "%.*s%s", (int)(at - line), line, suffix);
	snprintf(ret + strlen(ret), size - strlen(ret), "%s", line);
}

static void pair(const struct pair_verb *a, const struct pair_verb *b, const char *suffix, long n_stops)
{
	bool have_serial = false;
	expand(b->line, suffix, two, sizeof(two));
	check = !strncmp(one, "keystore ", 9) || !strncmp(two, "keystore ", 9);
	for (long at = 1; at <= n_stops; at++) {
		if (n_case++ % (step * n_parts) != part * step)
			continue;
		if (count_only) {
			stops++;
			continue;
		}
		if (!have_serial) {
			run_serial(one, NULL, &first_alone);
			run_serial(two, NULL, &second_alone);
			run_serial(one, two, &one_two);
			run_serial(two, one, &two_one);
			have_serial = true;
		}
		if (run(one, two, at, &now) == 0)
			continue;
		stops++;
		if (!is_true(a, b))
			complain(a, b, at);
	}
}

static bool picked(char **names, const struct pair_verb *a, const struct pair_verb *b)
{
	bool all = !*names;
	for (; *names; names++) {
		size_t n = strcspn(*names, "+");
		const char *second = (*names)[n] ? *names + n + 1 : NULL;
		all |= !strncmp(a->name, *names, n) && !a->name[n] && (!second || !strcmp(second, b->name));
	}
	return all;
}

/* All pairs of one first command: a line of the report. */
static void sweep_first(const struct pair_verb *a, const char *suffix, char **names)
{
	long n_stops = -1;
	stops = waited = bad = known = 0;
	expand(a->line, suffix, one, sizeof(one));
	for (size_t i = 0; i < n_pair_verbs; i++)
		if (picked(names, a, &pair_verbs[i])) {
			if (n_stops < 0)
				n_stops = run(one, NULL, 0, &now);
			pair(a, &pair_verbs[i], suffix, n_stops);
		}
	if (n_stops < 0)
		return;
	printf("# first %s %s: %ld stops, at %ld of them the second waited\n", suffix, a->name, stops, waited);
	printf("%s - %s %s beside each command: %ld stops, %ld in no order\n", bad ? "not ok" : "ok", suffix, a->name,
	       stops, bad);
	/* A fault that is known and waits for its owner is no pass. */
	if (known)
		printf("%s - %s %s beside what is known to be open: %ld in no order\n",
		       step > 1 ? "skip" : "not ok", suffix, a->name, known);
	fflush(stdout);
	bad += step > 1 ? 0 : known;
	total += stops;
	total_waited += waited;
	total_bad += bad;
}

int main(int argc, char **argv)
{
	static const char *const suffixes[] = { "qcow2", "raw" };
	int option;
	while ((option = getopt(argc, argv, "s:p:n")) != -1) {
		if (option == 's')
			step = atol(optarg);
		if (option == 'p' && sscanf(optarg, "%ld/%ld", &part, &n_parts) != 2)
			return 2;
		count_only |= option == 'n';
	}
	if (optind >= argc || step < 1 || part-- < 1 || part >= n_parts)
		return 2;
	place.program = argv[optind];
	place_make(&place);
	for (size_t s = 0; s < 2; s++) {
		char name[32];
		snprintf(name, sizeof(name), "pair_%s", suffixes[s]);
		if (!place_state(&place, name)) {
			printf("not ok - the state %s cannot be made\n", name);
			total_bad++;
			continue;
		}
		look_base_free(&base);
		look_base_take(&place, "keystore", &base);
		for (size_t i = 0; i < n_pair_verbs; i++)
			sweep_first(&pair_verbs[i], suffixes[s], argv + optind + 1);
	}
	alarm(0);
	place_remove(&place);
	printf("# %ld stops landed, at %ld of them the second waited, %ld in no order\n", total, total_waited,
	       total_bad);
	return total_bad > 0;
}
