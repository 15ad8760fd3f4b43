#include "lib/image/export.h"

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define STOP_SECONDS 20
#define NODE "volume"

static struct json_object *export_json(enum export_type type, const char *target, bool writable)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "type", json_object_new_string(type == EXPORT_FUSE ? "fuse" : "nbd"));
	json_object_object_add(o, "id", json_object_new_string("export"));
	json_object_object_add(o, "node-name", json_object_new_string(NODE));
	json_object_object_add(o, "writable", json_object_new_boolean(writable));
	if (type == EXPORT_FUSE) {
		json_object_object_add(o, "mountpoint", json_object_new_string(target));
		json_object_object_add(o, "allow-other", json_object_new_string("off"));
	} else {
		json_object_object_add(o, "name", json_object_new_string(""));
	}
	return o;
}

static struct json_object *server_json(const char *socket)
{
	struct json_object *o = json_object_new_object(), *addr = json_object_new_object();
	json_object_object_add(addr, "type", json_object_new_string("unix"));
	json_object_object_add(addr, "path", json_object_new_string(socket));
	json_object_object_add(o, "addr", addr);
	return o;
}

/* Field 22 of /proc/PID/stat, counted behind the last ')' as the name may hold anything. */
static int read_start(pid_t pid, unsigned long long *ret)
{
	char path[64], buf[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
	if (n <= 0)
		return -ESRCH;
	buf[n] = 0;
	char *p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p && sscanf(p, " %llu", ret) == 1 ? 0 : -ESRCH;
}

static int read_pid(int fd, pid_t *ret, struct error *e)
{
	char buf[32] = "";
	if (pread(fd, buf, sizeof(buf) - 1, 0) <= 0 || (*ret = (pid_t)atoi(buf)) <= 1)
		return error_set(e, ERROR_FAILED, EIO, "qemu-storage-daemon did not tell its process ID");
	return 0;
}

static int map_failure(const struct process_result *res, const char *path, struct error *e)
{
	if (strstr(res->err, "lock"))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", path);
	return error_set(e, ERROR_FAILED, EIO, "qemu-storage-daemon cannot serve %s: %s", path,
			 res->err[0] ? res->err : "no message");
}

int image_export_start(const struct image_layer *layers, size_t n, enum export_type type, const char *target,
		       bool writable, struct export_process *ret, struct error *e)
{
	struct image_secret_args secrets;
	struct process_result res = { 0 };
	char pidfile[] = "/tmp/kvmcrypt-export-XXXXXX";
	int r = image_secret_args(layers, n, &secrets, e);
	if (r < 0)
		return r;
	AUTOCLOSE int pidfd = mkstemp(pidfile);
	if (pidfd < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a temporary file");
	struct json_object *node = image_node(layers, n, NODE, writable);
	struct json_object *exported = export_json(type, target, writable);
	struct json_object *server = server_json(target);
	const char *argv[2 * IMAGE_SECRETS_MAX + 16] = { "qemu-storage-daemon", "--daemonize", "--pidfile", pidfile };
	size_t a = 4;
	for (size_t i = 0; i < secrets.n_args; i++)
		argv[a++] = secrets.args[i];
	argv[a++] = "--blockdev";
	argv[a++] = json_object_to_json_string_ext(node, JSON_C_TO_STRING_PLAIN);
	if (type == EXPORT_NBD) {
		argv[a++] = "--nbd-server";
		argv[a++] = json_object_to_json_string_ext(server, JSON_C_TO_STRING_PLAIN);
	}
	argv[a++] = "--export";
	argv[a++] = json_object_to_json_string_ext(exported, JSON_C_TO_STRING_PLAIN);
	const struct process p = { .argv = argv, .secrets = secrets.secrets, .n_secrets = secrets.n_secrets,
				   .confine = PROCESS_EXPORT };
	r = process_run(&p, &res, e);
	if (r == 0 && res.status != 0)
		r = map_failure(&res, layers[0].path, e);
	if (r == 0)
		r = read_pid(pidfd, &ret->pid, e);
	if (r == 0 && read_start(ret->pid, &ret->start) < 0)
		r = error_set(e, ERROR_FAILED, ESRCH, "qemu-storage-daemon ended at once");
	process_result_clear(&res);
	json_object_put(node);
	json_object_put(exported);
	json_object_put(server);
	unlink(pidfile);
	return r;
}

bool image_export_alive(const struct export_process *p)
{
	unsigned long long start;
	return read_start(p->pid, &start) == 0 && start == p->start;
}

int image_export_stop(const struct export_process *p, struct error *e)
{
	/* A pidfd first, then the check: from then on the number cannot pass to another process. */
	AUTOCLOSE int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (fd < 0 || !image_export_alive(p))
		return 0;
	if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot end qemu-storage-daemon (process %d)", (int)p->pid);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	if (poll(&wait, 1, STOP_SECONDS * 1000) != 1)
		return error_set(e, ERROR_BUSY, ETIMEDOUT,
				 "qemu-storage-daemon (process %d) does not end: is its export in use?", (int)p->pid);
	return 0;
}
