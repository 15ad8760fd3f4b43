/* base/process: what a child gets, what comes back. */
#include "fixture.h"

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct error e;

static int shell(const char *script, size_t out_max, struct process_result *ret)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const struct process p = { .argv = argv, .stdout_max = out_max };
	return process_run(&p, ret, &e);
}

static void output_and_status(void **state)
{
	struct process_result r;
	(void)state;
	assert_ok(shell("echo hello; exit 7", 100, &r));
	assert_int_equal(r.status, 7);
	assert_string_equal(r.out, "hello\n");
	assert_int_equal(r.out_len, 6);
	process_result_clear(&r);
	assert_ok(shell("kill -9 $$", 0, &r));
	assert_int_equal(r.status, 128 + 9);
	assert_null(r.out);
	process_result_clear(&r);
}

static void output_is_bounded(void **state)
{
	struct process_result r;
	(void)state;
	assert_ok(shell("yes | head -c 1000000; echo end >&2", 10, &r));
	assert_int_equal(r.out_len, 10);
	assert_string_equal(r.out, "y\ny\ny\ny\ny\n");
	assert_string_equal(r.err, "end");
	process_result_clear(&r);
}

static void last_line_of(const char *script, const char *want)
{
	struct process_result r;
	assert_ok(shell(script, 0, &r));
	assert_string_equal(r.err, want);
	process_result_clear(&r);
}

static void last_line_of_stderr(void **state)
{
	(void)state;
	last_line_of("true", "");
	last_line_of("printf 'one\\ntwo\\n' >&2", "two");
	last_line_of("printf 'one\\ntwo' >&2", "two");
	last_line_of("printf 'one\\ntwo\\n\\n\\n' >&2", "two");
	last_line_of("printf 'one\\r\\n' >&2", "one");
	last_line_of("printf '\\n\\n' >&2", "");
	/* In pieces, as a slow child writes. */
	last_line_of("printf o >&2; sleep 0.05; printf 'ne\\nt' >&2; sleep 0.05; printf 'wo\\n' >&2", "two");
	last_line_of("printf 'one\\n' >&2; sleep 0.05; printf '\\n' >&2", "one");
	/* A lot before it, in chunks that meet the buffer's end anywhere. */
	last_line_of("seq 1 20000 >&2; echo the end >&2", "the end");
}

static void long_line_keeps_its_end(void **state)
{
	struct process_result r;
	(void)state;
	assert_ok(shell("(head -c 9000 /dev/zero | tr '\\0' x; echo THE REASON) >&2", 0, &r));
	assert_int_equal(strlen(r.err), sizeof(r.err) - 1);
	assert_string_equal(r.err + strlen(r.err) - 10, "THE REASON");
	process_result_clear(&r);
}

static void secrets_and_descriptors(void **state)
{
	AUTOSECRET struct secret *a = NULL;
	AUTOSECRET struct secret *b = NULL;
	struct process_result r;
	(void)state;
	assert_ok(secret_copy("first", 5, &a, &e));
	assert_ok(secret_copy("second", 6, &b, &e));
	int zero = open("/dev/null", O_RDONLY);
	const char *argv[] = { "sh", "-c", "cat /dev/fd/3; echo; cat /dev/fd/4; echo; readlink /proc/self/fd/5", NULL };
	const struct secret *secrets[] = { a, b };
	const struct process p = { .argv = argv, .secrets = secrets, .n_secrets = 2, .fds = &zero, .n_fds = 1,
				   .stdout_max = 100 };
	assert_ok(process_run(&p, &r, &e));
	assert_string_equal(r.out, "first\nsecond\n/dev/null\n");
	assert_int_not_equal(fcntl(zero, F_GETFD), -1);
	process_result_clear(&r);
	close(zero);
}

static void nothing_else_is_open(void **state)
{
	struct process_result r;
	(void)state;
	/* Inheritable, as a careless library leaves it. */
	int fd = open("/dev/null", O_RDONLY);
	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	assert_ok(shell("for i in 0 1 2 3 4 5 6 7 8 9 10 20; do [ -e /proc/$$/fd/$i ] && printf '%s ' $i; done", 100,
			&r));
	assert_string_equal(r.out, "0 1 2 ");
	process_result_clear(&r);
	close(fd);
}

static void environment_and_limits(void **state)
{
	struct process_result r;
	(void)state;
	setenv("KVMCRYPT_TEST_LEAK", "x", 1);
	assert_ok(shell("env | cut -d= -f1 | sort | tr '\\n' ' '; ulimit -c", 500, &r));
	assert_null(strstr(r.out, "LEAK"));
	assert_non_null(strstr(r.out, "LC_ALL"));
	assert_non_null(strstr(r.out, "PATH"));
	assert_string_equal(r.out + r.out_len - 2, "0\n");
	process_result_clear(&r);
	unsetenv("KVMCRYPT_TEST_LEAK");
}

static void missing_program(void **state)
{
	const char *argv[] = { "kvmcrypt-no-such-program", NULL };
	const struct process p = { .argv = argv };
	struct process_result r;
	(void)state;
	assert_fails(process_run(&p, &r, &e), ERROR_NOT_FOUND, "is not installed");
	const char *dir[] = { "/tmp", NULL };
	const struct process q = { .argv = dir };
	assert_fails(process_run(&q, &r, &e), ERROR_FAILED, "cannot start");
}

static void secret_too_long_for_a_pipe(void **state)
{
	AUTOSECRET struct secret *s = NULL;
	const char *argv[] = { "true", NULL };
	struct process_result r;
	(void)state;
	assert_ok(secret_new(70000, &s, &e));
	const struct secret *secrets[] = { s };
	const struct process p = { .argv = argv, .secrets = secrets, .n_secrets = 1 };
	assert_fails(process_run(&p, &r, &e), ERROR_FAILED, "does not fit");
}

static void checked(void **state)
{
	const char *bad[] = { "sh", "-c", "echo oh no >&2; exit 3", NULL };
	const char *silent[] = { "false", NULL };
	(void)state;
	assert_fails(process_run_checked(&(struct process){ .argv = bad }, NULL, &e), ERROR_FAILED,
		     "sh failed (status 3): oh no");
	assert_fails(process_run_checked(&(struct process){ .argv = silent }, NULL, &e), ERROR_FAILED,
		     "no message");
}

/* poll() fails in this process from now on. */
static void break_poll(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __NR_poll
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_poll, 1, 0),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ppoll, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_LEN(code), code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(9);
}

/* What cannot be listened to is not waited for either: it might run for ever. */
static void no_wait_for_a_child_that_was_given_up(void **state)
{
	int status = 0;
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct process_result r;
		alarm(300);
		break_poll();
		_exit(shell("exec sleep 100000", 0, &r) == -ENOMEM ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 9)
		skip();
	assert_int_equal(status, 0);
}

/* ---- input, secrets, terminal, time ---- */

static void input_and_secret_output(void **state)
{
	AUTOSECRET struct secret *in = NULL;
	const char *const argv[] = { "tr", "a-z", "A-Z", NULL };
	struct process_result r;
	(void)state;
	assert_ok(secret_copy("a key", 5, &in, &e));
	const struct process p = { .argv = argv, .input = in, .stdout_max = 100, .stdout_secret = true };
	assert_ok(process_run(&p, &r, &e));
	assert_null(r.out);
	assert_non_null(r.secret);
	assert_int_equal(r.secret->len, 5);
	assert_memory_equal(r.secret->data, "A KEY", 5);
	process_result_clear(&r);
}

static void secret_output_is_bounded(void **state)
{
	const char *const argv[] = { "sh", "-c", "yes | head -c 100000", NULL };
	const struct process p = { .argv = argv, .stdout_max = 8, .stdout_secret = true };
	const char *const none[] = { "true", NULL };
	const struct process q = { .argv = none, .stdout_max = 8, .stdout_secret = true };
	struct process_result r;
	(void)state;
	assert_ok(process_run(&p, &r, &e));
	assert_int_equal(r.secret->len, 8);
	process_result_clear(&r);
	assert_ok(process_run(&q, &r, &e));
	assert_null(r.secret);
	process_result_clear(&r);
}

/* The program sees a terminal, gets the answer at each prompt, and what it prints is still ours. */
static void a_terminal_of_its_own(void **state)
{
	AUTOSECRET struct secret *pin = NULL;
	const char *const argv[] = { "bash", "-c",
				     "ask() { printf '%s' \"$1\" >/dev/tty; read -rs \"$2\" </dev/tty; }; "
				     "test -t 0 && ask 'your PIN: ' a && ask 'PIN again: ' b && echo \"$a $b\"", NULL };
	struct process_result r;
	(void)state;
	assert_ok(secret_copy("12 34", 5, &pin, &e));
	const struct process p = {
		.argv = argv, .stdout_max = 100, .tty_prompt = "PIN", .tty_answer = pin, .seconds = 300
	};
	assert_ok(process_run(&p, &r, &e));
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "12 34 12 34\n");
	process_result_clear(&r);
}

static void one_that_asks_for_ever(void **state)
{
	AUTOSECRET struct secret *pin = NULL;
	const char *const argv[] = { "bash", "-c", "while printf 'PIN? ' >/dev/tty; read -rs a </dev/tty; do :; done",
				     NULL };
	struct process_result r;
	(void)state;
	assert_ok(secret_copy("1", 1, &pin, &e));
	const struct process p = { .argv = argv, .tty_prompt = "PIN", .tty_answer = pin, .seconds = 300 };
	assert_fails(process_run(&p, &r, &e), ERROR_FAILED, "asks again and again");
}

/* Ended with what it started, which holds our pipes open. */
static void a_time_limit(void **state)
{
	const char *const argv[] = { "sh", "-c", "sleep 1000 & sleep 1000", NULL };
	const struct process p = { .argv = argv, .stdout_max = 10, .seconds = 1 };
	struct process_result r;
	(void)state;
	assert_fails(process_run(&p, &r, &e), ERROR_FAILED, "gave no answer in 1 seconds");
	assert_int_equal(e.err, ETIMEDOUT);
}

/* The limit is on its life, not on its pipes. */
static void a_time_limit_of_one_that_says_no_more(void **state)
{
	const char *const argv[] = { "sh", "-c", "exec >&- 2>&-; sleep 30", NULL };
	const struct process p = { .argv = argv, .stdout_max = 10, .seconds = 1 };
	struct process_result r;
	(void)state;
	assert_fails(process_run(&p, &r, &e), ERROR_FAILED, "gave no answer in 1 seconds");
	assert_int_equal(e.err, ETIMEDOUT);
}

/* What a confined child is, and what the kernel says to it. */
static void confined(enum process_confine how, const char *script, const char *expected)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const struct process p = { .argv = argv, .stdout_max = 4096, .confine = how };
	struct process_result r;
	assert_ok(process_run(&p, &r, &e));
	assert_string_equal(r.out, expected);
	process_result_clear(&r);
}

static void a_child_has_no_more_than_it_needs(void **state)
{
	static const char status[] =
		"sed -n 's/^\\(CapEff\\|NoNewPrivs\\|Seccomp\\):[[:space:]]*0*/\\1 /p' /proc/self/status";
	static const char calls[] = "keyctl show @u >/dev/null 2>&1; echo keyctl $?; "
				    "strace -o /dev/null true 2>/dev/null; echo ptrace $?; "
				    "unshare -U true 2>/dev/null; echo unshare $?";
	(void)state;
	confined(PROCESS_FOREIGN, calls, "keyctl 1\nptrace 1\nunshare 1\n");
	confined(PROCESS_IMAGES, calls, "keyctl 1\nptrace 1\nunshare 1\n");
	if (geteuid() != 0)
		return;
	confined(PROCESS_FOREIGN, status, "CapEff \nNoNewPrivs 1\nSeccomp 2\n");
	confined(PROCESS_IMAGES, status, "CapEff 2\nNoNewPrivs 1\nSeccomp 2\n");
	confined(PROCESS_FOREIGN,
		 "[ $(id -u) != 0 ] && echo other; cat /etc/shadow 2>/dev/null; kill -0 $PPID 2>/dev/null || echo no",
		 "other\nno\n");
	confined(PROCESS_IMAGES, "id -u; mount -t tmpfs none /mnt 2>/dev/null || echo no", "0\nno\n");
}

static void a_path_of_our_own(void **state)
{
	(void)state;
	char *before = strdup(getenv("PATH"));
	setenv("PATH", "/nowhere", 1);
	confined(PROCESS_OURS, "echo $PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	setenv("PATH", before, 1);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_and_secret_output),
		cmocka_unit_test(secret_output_is_bounded),
		cmocka_unit_test(a_terminal_of_its_own),
		cmocka_unit_test(one_that_asks_for_ever),
		cmocka_unit_test(a_time_limit),
		cmocka_unit_test(a_time_limit_of_one_that_says_no_more),
		cmocka_unit_test(output_and_status),
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(last_line_of_stderr),
		cmocka_unit_test(long_line_keeps_its_end),
		cmocka_unit_test(secrets_and_descriptors),
		cmocka_unit_test(nothing_else_is_open),
		cmocka_unit_test(environment_and_limits),
		cmocka_unit_test(missing_program),
		cmocka_unit_test(a_child_has_no_more_than_it_needs),
		cmocka_unit_test(a_path_of_our_own),
		cmocka_unit_test(secret_too_long_for_a_pipe),
		cmocka_unit_test(checked),
		cmocka_unit_test(no_wait_for_a_child_that_was_given_up),
	};
	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
