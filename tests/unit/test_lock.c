/* Image locks against ourselves and against real QEMU tools that hold an image. */
#include "tests/unit/image_util.h"

#include "lib/image/file/lock.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static struct error err;

static const char *plain_file(void)
{
	const char *path = in_dir("disk.raw");
	write_whole(path, "", 0);
	assert_int_equal(truncate(path, MIB), 0);
	return path;
}

/* A format driver does not share the file with writers, not even when it only reads. */
static const char *qcow2_file(void)
{
	const char *path = in_dir("disk.qcow2");
	const char *const argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, "1M", NULL };
	assert_int_equal(run_tool(argv, NULL), 0);
	return path;
}

static int open_rw(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void two_of_us_exclude_each_other(void **state)
{
	(void)state;
	const char *path = plain_file();
	AUTOCLOSE int second = open_rw(path);
	assert_false(image_is_in_use(path));
	{
		AUTOCLOSE int first = open_rw(path);
		assert_ok(image_lock(first, path, &err));
		assert_true(image_is_in_use(path));
		assert_fails(image_lock(second, path, &err), ERROR_BUSY, "in use by another process");
	}
	/* The failed one left nothing behind, the closed one is gone. */
	assert_false(image_is_in_use(path));
	assert_ok(image_lock(second, path, &err));
}

static void a_replaced_file_is_noticed(void **state)
{
	(void)state;
	const char *path = plain_file();
	AUTOCLOSE int fd = open_rw(path);
	write_whole(in_dir("other"), "x", 1);
	assert_int_equal(rename(in_dir("other"), path), 0);
	assert_fails(image_lock(fd, path, &err), ERROR_BUSY, "was replaced by another process");
	assert_int_equal(unlink(path), 0);
	assert_fails(image_lock(fd, path, &err), ERROR_NOT_FOUND, "cannot stat");
}

static void only_the_locked_file_is_removed(void **state)
{
	(void)state;
	const char *path = plain_file();
	AUTOCLOSE int fd = open_rw(path);
	assert_ok(image_lock(fd, path, &err));
	assert_int_equal(rename(path, in_dir("moved")), 0);
	assert_ok(image_remove(fd, path, &err));
	assert_int_equal(access(in_dir("moved"), F_OK), 0);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_fails(image_remove(fd, path, &err), ERROR_BUSY, "was replaced by another process");
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rename(in_dir("moved"), path), 0);
	assert_ok(image_remove(fd, path, &err));
	assert_int_equal(access(path, F_OK), -1);
}

static void a_missing_file_is_not_in_use(void **state)
{
	(void)state;
	assert_false(image_is_in_use(in_dir("none")));
}

/* A QEMU tool that opens the image and then waits for us. */
struct holder {
	pid_t pid;
	int in;
};

static struct holder hold(const char *const argv[], const char *path)
{
	int in[2];
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	struct holder h = { .pid = fork(), .in = in[1] };
	assert_true(h.pid >= 0);
	if (h.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	const struct timespec pause = { 0, 10 * 1000 * 1000 };
	for (int i = 0; i < 30000 && !image_is_in_use(path); i++)
		nanosleep(&pause, NULL);
	return h;
}

static void release(struct holder *h)
{
	const struct timespec pause = { 0, 100 * 1000 * 1000 };
	close(h->in);
	/* Again and again: qemu-nbd forgets one that comes while it starts, after it has locked the image. */
	do
		kill(h->pid, SIGTERM);
	while (waitpid(h->pid, NULL, WNOHANG) == 0 && nanosleep(&pause, NULL) == 0);
}

static bool have(const char *tool)
{
	const char *const argv[] = { tool, "--version", NULL };
	struct process p = { .argv = argv };
	struct process_result res;
	return process_run(&p, &res, NULL) == 0;
}

static void is_kept_out_by(const char *const argv[], const char *path)
{
	struct holder h = hold(argv, path);
	char who[64];
	snprintf(who, sizeof(who), "in use by process %d (%.15s)", (int)h.pid, argv[0]);
	AUTOCLOSE int fd = open_rw(path);
	assert_true(image_is_in_use(path));
	assert_fails(image_lock(fd, path, &err), ERROR_BUSY, who);
	release(&h);
	assert_false(image_is_in_use(path));
	assert_ok(image_lock(fd, path, &err));
}

static void qemu_keeps_us_out(void **state)
{
	(void)state;
	if (!have("qemu-io") || !have("qemu-storage-daemon") || !have("qemu-nbd"))
		skip();
	const char *path = qcow2_file();
	char blockdev[640], socket[640];
	snprintf(blockdev, sizeof(blockdev),
		 "driver=qcow2,node-name=n,file.driver=file,file.filename=%s", path);
	snprintf(socket, sizeof(socket), "--socket=%s", in_dir("nbd.sock"));
	const char *const writer[] = { "qemu-io", "-f", "qcow2", path, NULL };
	/* A reader relies on a header that does not change either. */
	const char *const reader[] = { "qemu-io", "-r", "-f", "qcow2", path, NULL };
	const char *const daemon[] = { "qemu-storage-daemon", "--blockdev", blockdev, NULL };
	const char *const nbd[] = { "qemu-nbd", "-f", "qcow2", socket, path, NULL };
	is_kept_out_by(writer, path);
	is_kept_out_by(reader, path);
	is_kept_out_by(daemon, path);
	is_kept_out_by(nbd, path);
}

static void a_running_guest_keeps_us_out(void **state)
{
	(void)state;
	if (!have("qemu-system-x86_64"))
		skip();
	const char *path = plain_file();
	char drive[640];
	snprintf(drive, sizeof(drive), "file=%s,format=raw,if=virtio", path);
	const char *const guest[] = { "qemu-system-x86_64", "-S", "-machine", "q35,accel=tcg",
				      "-display", "none", "-nodefaults", "-drive", drive, NULL };
	is_kept_out_by(guest, path);
}

static void we_keep_qemu_out(void **state)
{
	(void)state;
	if (!have("qemu-io"))
		skip();
	const char *path = qcow2_file();
	const char *const writer[] = { "qemu-io", "-f", "qcow2", "-c", "write 0 512", path, NULL };
	const char *const reader[] = { "qemu-io", "-r", "-f", "qcow2", "-c", "read 0 512", path, NULL };
	const char *const info[] = { "qemu-img", "info", "-f", "qcow2", path, NULL };
	const char *const *const all[] = { writer, reader, info };
	{
		AUTOCLOSE int fd = open_rw(path);
		assert_ok(image_lock(fd, path, &err));
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			assert_int_not_equal(run_tool(all[i], NULL), 0);
			assert_non_null(strstr(tool_output, "another process using the image"));
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_int_equal(run_tool(all[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_of_us_exclude_each_other),
		cmocka_unit_test(a_replaced_file_is_noticed),
		cmocka_unit_test(only_the_locked_file_is_removed),
		cmocka_unit_test(a_missing_file_is_not_in_use),
		cmocka_unit_test(qemu_keeps_us_out),
		cmocka_unit_test(a_running_guest_keeps_us_out),
		cmocka_unit_test(we_keep_qemu_out),
	};
	return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
