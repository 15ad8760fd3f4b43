#include "lib/posture/host/probe.h"

#include "base/process.h"
#include "lib/posture/host/pool.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define SSHD_TEXT_MAX 65536
#define RULESET_MAX (4u * 1024 * 1024)

static void ask_clients(struct host_probes *p, int64_t deadline)
{
	p->clients = service_list_clients(&p->connected, deadline, &p->no_clients);
}

/* It reads its files and includes as it would at its start, and says what holds for root. */
static void ask_sshd(void *arg, int64_t deadline)
{
	static const char *const argv[] = { "/usr/sbin/sshd", "-T", "-C", "user=root,host=localhost,addr=127.0.0.1",
					    NULL };
	struct host_probes *p = arg;
	(void)deadline;
	if (access(argv[0], X_OK) < 0) {
		p->sshd = error_errno(&p->no_sshd, ERROR_NOT_FOUND, errno, "there is no SSH server");
		return;
	}
	const struct process child = { .argv = argv, .stdout_max = SSHD_TEXT_MAX, .seconds = 2 };
	struct process_result result = { 0 };
	p->sshd = process_run_checked(&child, &result, &p->no_sshd);
	if (p->sshd == 0) {
		p->sshd_text = result.out;
		result.out = NULL;
	}
	process_result_clear(&result);
}

static void ask_filter(void *arg, int64_t deadline)
{
	static const char *const argv[] = { "/usr/sbin/nft", "-t", "list", "ruleset", NULL };
	struct host_probes *p = arg;
	(void)deadline;
	const struct process child = { .argv = argv, .stdout_max = RULESET_MAX, .seconds = 2 };
	struct process_result result = { 0 };
	struct error e;
	if (process_run_checked(&child, &result, &e) == 0) {
		p->ruleset = result.out;
		result.out = NULL;
	}
	process_result_clear(&result);
}

static int find(struct host *h, struct host_probes *p)
{
	AUTOSOCKETS struct host_sockets sockets = { 0 };
	int r = sockets_read(&sockets, &p->no_sockets);
	if (r == 0 && h->wants_service)
		r = service_find(h, &sockets, &p->ports, &p->no_sockets);
	if (r == 0 && h->wants_consoles)
		r = consoles_find(h, &sockets, &p->consoles, &p->no_sockets);
	return r;
}

static bool ask_all(struct host *h, struct host_probes *p)
{
	size_t n = 0, most = p->ports.n + p->consoles.n + 3;
	AUTOFREE struct pool_job *jobs = calloc(most, sizeof(*jobs));
	if (!jobs)
		return false;
	for (size_t i = 0; i < p->ports.n; i++)
		jobs[n++] = (struct pool_job){ service_probe, &p->ports.list[i] };
	for (size_t i = 0; i < p->consoles.n; i++)
		jobs[n++] = (struct pool_job){ console_probe, &p->consoles.list[i] };
	jobs[n++] = (struct pool_job){ ask_filter, p };
	if (h->wants_service)
		jobs[n++] = (struct pool_job){ ask_sshd, p };
	/* A third of the time is for all that comes after: then the whole is no longer than it. */
	int64_t deadline = h->deadline - host_time_left(h, INT_MAX) / 3;
	/* Before all others: connections of ours would be clients, too. */
	if (h->wants_service && h->g && !strstr(h->g->uri, "/session"))
		ask_clients(p, h->deadline - host_time_left(h, INT_MAX) / 4 * 3);
	pool_run(jobs, n, deadline);
	return true;
}

const struct host_probes *host_probe(struct host *h)
{
	if (h->probes)
		return h->probes;
	struct host_probes *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->clients = error_set(&p->no_clients, ERROR_LIBVIRT, ENOTCONN, "libvirt's own daemon cannot be asked");
	p->sockets = p->sshd = error_set(&p->no_sockets, ERROR_FAILED, EREMOTE,
					 h->running ? "libvirt is on another host" : "the host does not run");
	p->no_sshd = p->no_sockets;
	if (h->running && h->local) {
		p->sockets = find(h, p);
		if (!ask_all(h, p)) {
			host_probe_free(p);
			return NULL;
		}
	}
	h->probes = p;
	return p;
}

void host_probe_free(struct host_probes *p)
{
	if (!p)
		return;
	service_clear(&p->ports);
	consoles_clear(&p->consoles);
	free(p->sshd_text);
	free(p->ruleset);
	free(p);
}
