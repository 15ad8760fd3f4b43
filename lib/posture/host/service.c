#include "lib/posture/host/service.h"

#include "lib/guest/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char *const daemons[] = { "libvirtd", "virtproxyd" };

static bool is_daemon(const struct proc *p)
{
	char name[64] = "";
	proc_status(p, "Name", name, sizeof(name));
	for (size_t i = 0; i < ARRAY_LEN(daemons); i++)
		if (!strcmp(name, daemons[i]))
			return true;
	return false;
}

static bool known(const struct service_ports *to, const struct host_socket *s)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->list[i].socket.inode == s->inode)
			return true;
	return false;
}

static int add(struct service_ports *to, const struct host_socket *s, long tls_port, struct error *e)
{
	if (known(to, s))
		return 0;
	struct service_port *more = realloc(to->list, (to->n + 1) * sizeof(*more));
	if (!more)
		return error_oom(e);
	to->list = more;
	struct service_port *p = &more[to->n++];
	*p = (struct service_port){ .socket = *s, .expects_tls = s->port == tls_port };
	socket_text(s, p->where, sizeof(p->where));
	return 0;
}

/* A port as libvirtd.conf has it; a file that cannot be read leaves the number that is usual. */
static long configured_port(struct host *h, const char *key, long usual)
{
	AUTOFREE char *text = NULL;
	if (host_conf_get(h, HOST_CONF_DAEMON, key, &text, NULL) <= 0)
		return usual;
	long port = strtol(text, NULL, 10);
	return port > 0 && port <= UINT16_MAX ? port : usual;
}

/* Where processes cannot be looked into, their ports' numbers tell. */
static int add_of_process(pid_t pid, const struct host_sockets *sockets, long tls_port, struct service_ports *to,
			  struct error *e)
{
	AUTOPROC struct proc p = { .fd = -1 };
	AUTOFREE uint64_t *inodes = NULL;
	size_t n = 0;
	if (proc_open(pid, &p, NULL) < 0 || !is_daemon(&p) || proc_sockets(&p, &inodes, &n, NULL) < 0)
		return 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < sockets->n; i++)
		if (socket_is_one_of(&sockets->list[i], inodes, n))
			r = add(to, &sockets->list[i], tls_port, e);
	return r;
}

/* Is it worth opening? Most processes are not. */
static bool has_name_of_daemon(const char *pid)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(name, 1, sizeof(name) - 1, f);
	fclose(f);
	name[strcspn(name, "\n")] = 0;
	for (size_t i = 0; n && i < ARRAY_LEN(daemons); i++)
		if (!strcmp(name, daemons[i]))
			return true;
	return false;
}

/* What listens in another network namespace is not in our list: then nothing can be said of it. */
static int same_network(struct error *e)
{
	char own[64], other[64];
	AUTOPROC struct proc daemon = { .fd = -1 };
	AUTOPROC struct proc self = { .fd = -1 };
	bool runs = false;
	pid_t pid = 0;
	if (guest_daemon_runs(&runs, &pid, NULL) < 0 || !pid || proc_open(pid, &daemon, NULL) < 0 ||
	    proc_link(&daemon, "ns/net", other, sizeof(other), NULL) < 0)
		return 0;
	int r = proc_open(getpid(), &self, e);
	if (r == 0)
		r = proc_link(&self, "ns/net", own, sizeof(own), e);
	if (r == 0 && strcmp(own, other))
		r = error_set(e, ERROR_FAILED, EREMOTE, "libvirt's daemon is in another network namespace");
	return r;
}

int service_find(struct host *h, const struct host_sockets *sockets, struct service_ports *ret, struct error *e)
{
	long tcp = configured_port(h, "tcp_port", SERVICE_TCP_PORT);
	long tls = configured_port(h, "tls_port", SERVICE_TLS_PORT);
	int r = same_network(e);
	for (size_t i = 0; r == 0 && i < sockets->n; i++)
		if (sockets->list[i].port == tcp || sockets->list[i].port == tls)
			r = add(ret, &sockets->list[i], tls, e);
	DIR *d = r == 0 ? opendir("/proc") : NULL;
	for (struct dirent *one; d && r == 0 && (one = readdir(d));)
		if (strspn(one->d_name, "0123456789") == strlen(one->d_name) && has_name_of_daemon(one->d_name))
			r = add_of_process((pid_t)atoi(one->d_name), sockets, tls, ret, e);
	if (d)
		closedir(d);
	return r;
}

void service_clear(struct service_ports *p)
{
	for (size_t i = 0; i < p->n; i++)
		tls_seen_clear(&p->list[i].tls);
	free(p->list);
	*p = (struct service_ports){ 0 };
}

static int connect_to(const struct service_port *p, struct wire *w, int64_t deadline, struct error *e)
{
	struct sockaddr_storage to;
	socklen_t len = socket_target(&p->socket, &to);
	return wire_connect(w, (struct sockaddr *)&to, len, deadline, e);
}

/* The daemon says one byte to who was verified, and ends the connection of who was not. */
static int probe_tls(struct service_port *p, int64_t deadline, struct error *e)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	uint8_t verified;
	int r = connect_to(p, &w, deadline, e);
	if (r == 0)
		r = wire_tls(&w, &p->tls, e);
	if (r < 0)
		return r;
	r = wire_read(&w, &verified, 1, e);
	if (r == 0 && verified != 1)
		return error_set(e, ERROR_FAILED, EPROTO, "what it says after TLS is not libvirt's protocol");
	p->takes_anybody = r == 0;
	return r == -ECONNRESET ? 0 : r;
}

static int probe_plain(struct service_port *p, int64_t deadline, struct error *e)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	int r = connect_to(p, &w, deadline, e);
	if (r == 0)
		r = rpc_probe(&w, &p->rpc, e);
	p->plain = r == 0;
	return r;
}

void service_probe(void *port, int64_t deadline)
{
	struct service_port *p = port;
	int (*first)(struct service_port *, int64_t, struct error *) = p->expects_tls ? probe_tls : probe_plain;
	int (*second)(struct service_port *, int64_t, struct error *) = p->expects_tls ? probe_plain : probe_tls;
	p->probed = first(p, deadline, &p->why);
	if (p->probed == -EPROTO || p->probed == -ECONNRESET) {
		struct error e;
		int r = second(p, deadline, &e);
		/* When it is neither, what it was expected to be tells more. */
		if (r == 0)
			p->probed = 0;
	}
}

static int connect_path(const char *path, struct wire *w, int64_t deadline, struct error *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	return wire_connect(w, (const struct sockaddr *)&to, sizeof(to), deadline, e);
}

int service_answers(int64_t deadline, struct error *e)
{
	static const char *const paths[] = { "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock" };
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		AUTOWIRE struct wire w = WIRE_NONE;
		struct rpc_seen seen = { 0 };
		int r = connect_path(paths[i], &w, deadline, NULL);
		if (r == 0)
			r = rpc_probe(&w, &seen, NULL);
		if (r == -ETIMEDOUT)
			return error_set(e, ERROR_LIBVIRT, ETIMEDOUT,
					 "libvirt's daemon does not answer in time at %s (is it stopped or overloaded? "
					 "see --timeout)",
					 paths[i]);
	}
	return 0;
}

int service_list_clients(struct rpc_clients *ret, int64_t deadline, struct error *e)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	int r = connect_path("/run/libvirt/libvirt-admin-sock", &w, deadline, e);
	if (r == 0)
		r = rpc_list_clients(&w, ret, e);
	return r < 0 ? error_prefix(e, "its administration does not tell who is connected") : 0;
}
