/*
 * sweep [-s STEP] [-p I/N] [-nw] PROGRAM [VERB...]: every command of verbs.c with a fault at every call that
 * changes a file, then `recover`, or the same command again, then a look at what is there. It has to be what
 * was before or what the command makes, and the latter if the command said so.
 *
 *   kill    the process dies before the call        torn    a write does its first half, then it dies
 *   eio     the call fails, those after it succeed  enospc  likewise
 *   power   it dies, and what was not synced is lost, names included (power.h)
 *   lost    a large write is said to have succeeded and did nothing
 *
 * -s: only every STEP-th call, and one of the two ways to go on. -p: the I-th of N parts of all cases.
 * -n: counts only. -w: prints the workflows that have a line, and ends. A check for each command, and a table of what
 * landed.
 */
#include "tests/fault/look.h"
#include "tests/fault/power.h"
#include "tests/fault/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOST_MIN 65536u
#define CASE_SECONDS 300
/* A copy page by page is not looked at page by page. */
#define CALLS_MAX 200
/* So many faults of a kind at least has a full sweep of a command. */
#define KIND_MIN 8

enum kind { KILL, TORN, EIO_, ENOSPC_, POWER, LOST, N_KINDS };
static const struct {
	const char *name;
	unsigned groups;	/* calls that it comes at */
	unsigned seeds;		/* times at each */
} kinds[N_KINDS] = {
	[KILL] = { "kill", TRACE_CHANGE, 1 },	  [TORN] = { "torn", TRACE_DATA, 1 },
	[EIO_] = { "eio", TRACE_CHANGE | TRACE_OPEN, 1 }, [ENOSPC_] = { "enospc", TRACE_CHANGE, 1 },
	[POWER] = { "power", TRACE_CHANGE, 4 },	  [LOST] = { "lost", TRACE_DATA, 1 },
};

static struct place place;
static const struct verb *verb;
static struct look_base base;
static char before[LOOK_MAX], done[LOOK_MAX], now[LOOK_MAX], said[65536], where[PATH_MAX + 64], case_name[256];
static long planned[N_KINDS], landed[N_KINDS], bad, total, total_bad, part = 1, n_parts = 1, n_case, every = 1;
static bool count_only;

static bool is_large(const struct trace_call *c)
{
	return c->arg[2] >= LOST_MIN && (!strcmp(c->name, "pwrite64") || !strcmp(c->name, "write"));
}

static bool counts(enum kind k, const struct trace_call *c)
{
	return c->group & kinds[k].groups && (k != LOST || is_large(c));
}

/* The first half of a write, by somebody else's descriptor of the same open file: its position is kept. */
static void write_half(const struct trace_call *c)
{
	static char buf[8 << 20];
	char name[64];
	long long offset = (long long)c->arg[3];
	size_t len = c->arg[2] / 2 < sizeof(buf) ? c->arg[2] / 2 : sizeof(buf);
	if (!strcmp(c->name, "write")) {
		snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", c->pid, c->fd);
		FILE *f = fopen(name, "re");
		if (!f || fscanf(f, "pos: %lld", &offset) != 1)
			len = 0;
		if (f)
			fclose(f);
	} else if (strcmp(c->name, "pwrite64") != 0) {
		return;
	}
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", c->pid, c->fd);
	FILE *f = fopen(name, "r+e");
	if (f && trace_read(c->pid, c->arg[1], buf, len) == (ssize_t)len)
		(void)!pwrite(fileno(f), buf, len, offset);
	if (f)
		fclose(f);
}

static void inject(struct trace *t, const struct trace_call *c, enum kind k)
{
	if (k == TORN)
		write_half(c);
	if (k == EIO_)
		trace_skip(t, c, -EIO);
	else if (k == ENOSPC_)
		trace_skip(t, c, -ENOSPC);
	else if (k == LOST)
		trace_skip(t, c, (long)c->arg[2]);
	else
		trace_kill(t, c);
}

/* Runs the verb with a fault at its N-th call that counts, 0: none. How many there were; 0: it did not land. */
static long run(enum kind k, long at, unsigned seed, int *ret_code)
{
	struct trace t = { .groups = TRACE_CHANGE | TRACE_OPEN };
	struct power power = { .stash = place.stash };
	struct trace_call c;
	char **words = words_split(place.program, verb->line);
	long n = 0;
	bool hit = false;
	snprintf(t.dir, sizeof(t.dir), "%s", place.dir);
	if (trace_start(&t, words, place.out) < 0)
		abort();
	while (trace_next(&t, &c)) {
		if (hit)
			continue;
		if (counts(k, &c) && ++n == at) {
			snprintf(where, sizeof(where), "%s %s", c.name, c.path + strlen(place.dir));
			inject(&t, &c, k);
			hit = true;
		} else if (k == POWER && at) {
			power_note(&power, &c);
		}
	}
	if (k == POWER && hit)
		power_cut(&power, seed);
	power_free(&power);
	words_free(words);
	*ret_code = WIFSIGNALED(t.status) ? 128 + WTERMSIG(t.status) : WEXITSTATUS(t.status);
	return at && !hit ? 0 : n;
}

/* A file that recover leaves in place has no keyslot and maybe no header any more. */
static bool is_erased(const char *line)
{
	return !strncmp(line, "file v.", 7) || (!strncmp(line, "volume v.", 9) && strstr(line, ": no record, ") &&
						strstr(line, " keyslots ,"));
}

static bool equal(const char *a, const char *b)
{
	char x[LOOK_MAX], y[LOOK_MAX], *save = NULL;
	if (!(verb->flags & FILE_MAY_STAY))
		return !strcmp(a, b);
	x[0] = y[0] = 0;
	for (int i = 0; i < 2; i++) {
		char copy[LOOK_MAX];
		snprintf(copy, sizeof(copy), "%s", i ? b : a);
		for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (!is_erased(line))
				strcat(strcat(i ? y : x, line), "\n");
	}
	return !strcmp(x, y);
}

static int run_again(void)
{
	int code = run_line(&place, verb->line, said, sizeof(said));
	for (size_t i = 0; i < sizeof(verb->again) / sizeof(verb->again[0]); i++)
		if (code == verb->again[i])
			return 0;
	return code;
}

/* What is wrong after the fault, NULL for nothing. */
static const char *judge(int code, bool repeat)
{
	char line[64];
	const char *keystore = verb->keystore ? verb->keystore : "keystore";
	if (repeat) {
		if (run_again() != 0)
			return "the same command again fails";
	} else {
		/* Where there is no keystore there is nothing to recover. */
		snprintf(line, sizeof(line), "recover -q --no-libvirt --keystore %s", keystore);
		int r = run_line(&place, line, said, sizeof(said));
		if (r != 0 && !(r == 4 && !strncmp(before, "no keystore", 11)))
			return "recover fails";
		if (verb->flags & REPEAT_FIRST && run_again() != 0)
			return "the same command after recover fails";
	}
	said[0] = 0;
	/* To check the whole store takes as long as all the rest. */
	bool check = !verb->workflow || n_case % 4 == 0;
	look_at(&place, keystore, &base, check, now);
	const char *was = check ? before : look_without_store(before);
	const char *will = check ? done : look_without_store(done);
	if (!look_is_sound(now))
		return "this may never be";
	bool is_done = equal(now, will);
	if (!is_done && (repeat || verb->flags & REPEAT_FIRST))
		return "the same command again did not do it";
	if (!is_done && code == 0)
		return "it said that it was done, and it is not";
	if (!is_done && !equal(now, was) && !look_is_between(now, was, will))
		return "it is neither as before nor done";
	if (is_done && verb->proof && run_line(&place, verb->proof, said, sizeof(said)) != 0)
		return "the proof of what was made fails";
	return NULL;
}

static void indent(const char *text)
{
	char copy[LOOK_MAX], *save = NULL;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("#     %s\n", line);
}

/* A case that hangs ends the sweep: what it was has to be said, and who waits for what. */
static void hangs(int signal)
{
	char line[512];
	(void)signal;
	int n = snprintf(line, sizeof(line), "not ok - this hangs: %s\n", case_name);
	(void)!write(1, line, (size_t)n);
	snprintf(line, sizeof(line), "ps -L -o pid,lwp,stat,wchan:24,args --ppid %d | sed 's/^/# /'", getpid());
	_exit(system(line) != -1);
}

static void one_case(enum kind k, long n, unsigned seed, bool repeat)
{
	int code;
	if (n_case++ % n_parts != part)
		return;
	if (count_only) {
		landed[k]++;
		return;
	}
	alarm(CASE_SECONDS);
	snprintf(case_name, sizeof(case_name), "%s: %s at call %ld, seed %u, then %s", verb->name, kinds[k].name, n,
		 seed, repeat ? "again" : "recover");
	place_restore(&place);
	planned[k]++;
	if (run(k, n, seed, &code) == 0)
		return;
	landed[k]++;
	const char *wrong = judge(code, repeat);
	if (!wrong)
		return;
	bad++;
	printf("# %s: %s at call %ld (%s) seed %u, exit %d, then %s: %s\n", verb->name, kinds[k].name, n, where, seed,
	       code, repeat ? "again" : "recover", wrong);
	indent(said[0] ? said : now);
	fflush(stdout);
}

static void sweep_kind(enum kind k)
{
	int code;
	place_restore(&place);
	long calls = run(k, 0, 0, &code), step = calls / CALLS_MAX + 1 > every ? calls / CALLS_MAX + 1 : every;
	bool sample = every > 1;
	/* Each kind begins elsewhere, so that a sample does not look at the same calls all the time. */
	long first = ((long)k * 5 + verb->name[0]) % (calls > step ? step : calls ? calls : 1);
	for (long n = 1 + first; n <= calls; n += step)
		for (unsigned seed = 0; seed < (sample ? 1 : kinds[k].seeds); seed++)
			for (int repeat = 0; repeat < 2; repeat++)
				if (!sample || repeat == n / step % 2)
					one_case(k, n, sample ? (unsigned)(n / step) : seed + 4 * (unsigned)n, repeat);
}

static bool prepare(void)
{
	int code;
	const char *keystore = verb->keystore ? verb->keystore : "keystore";
	char *wrong = "its state cannot be made";
	look_base_free(&base);
	if (place_state(&place, verb->state)) {
		look_base_take(&place, keystore, &base);
		look_at(&place, keystore, &base, true, before);
		place_restore(&place);
		run(KILL, 0, 0, &code);
		look_at(&place, keystore, &base, true, done);
		bool sound = look_is_sound(done) && !strstr(done, "data other");
		wrong = code != 0 ? "it fails" : !sound ? "what it makes is not sound" : NULL;
	}
	if (wrong)
		printf("not ok - %s: without a fault %s\n", verb->name, wrong), indent(done);
	return !wrong;
}

static void sweep_verb(void)
{
	long sum = 0;
	memset(planned, 0, sizeof(planned));
	memset(landed, 0, sizeof(landed));
	bad = 0;
	alarm(CASE_SECONDS);
	snprintf(case_name, sizeof(case_name), "%s: without a fault", verb->name);
	if (!prepare()) {
		total_bad++;
		return;
	}
	for (enum kind k = 0; k < N_KINDS; k++)
		if (k != LOST || verb->flags & COPIES)
			sweep_kind(k);
	bool thin = false;
	printf("# %-22s", verb->name);
	for (enum kind k = 0; k < N_KINDS; k++) {
		sum += landed[k];
		printf(" %s %ld", kinds[k].name, landed[k]);
		/* Threads make a call more or less; a kind that does not land proves nothing. */
		bool meant = n_parts == 1 && (k != LOST || verb->flags & COPIES);
		long least = every > 1 ? 1 : KIND_MIN;
		thin |= planned[k] - landed[k] > planned[k] / 10 + 1 || (meant && landed[k] < least);
	}
	const char *end = thin ? ", a kind did not land" : "";
	/* A fault that is known and waits for its owner is no pass. */
	if (verb->open && every > 1)
		printf("\nskip - %s: %ld faults, %ld lost%s: known: %s\n", verb->name, sum, bad, end, verb->open);
	else
		printf("\n%s - %s: %ld faults, %ld lost%s\n", bad || thin ? "not ok" : "ok", verb->name, sum, bad,
		       end);
	fflush(stdout);
	total += sum;
	if (!verb->open || every == 1)
		total_bad += bad + thin;
}

static bool picked(char **names)
{
	bool all = !*names;
	for (; *names; names++) {
		size_t n = strlen(*names);
		all |= !strncmp(verb->name, *names, n) && (!verb->name[n] || verb->name[n] == ' ');
	}
	return all;
}

static int print_workflows(void)
{
	for (size_t i = 0; i < n_verbs; i++)
		if (verbs[i].workflow)
			puts(verbs[i].workflow);
	for (const char *const *name = verbs_elsewhere; *name; name++)
		puts(*name);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 4096, 4096 };
	int option;
	while ((option = getopt(argc, argv, "s:p:wn")) != -1) {
		if (option == 's')
			every = atol(optarg);
		if (option == 'p' && sscanf(optarg, "%ld/%ld", &part, &n_parts) != 2)
			return 2;
		count_only |= option == 'n';
		if (option == 'w')
			return print_workflows();
	}
	if (optind >= argc || every < 1 || part-- < 1 || part >= n_parts)
		return 2;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGALRM, hangs);
	place.program = argv[optind];
	place_make(&place);
	for (verb = verbs; verb < verbs + n_verbs; verb++)
		if (picked(argv + optind + 1))
			sweep_verb();
	alarm(0);
	place_remove(&place);
	printf("# %ld faults injected, %ld lost\n", total, total_bad);
	return total_bad > 0;
}
