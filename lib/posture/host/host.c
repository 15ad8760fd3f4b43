#include "lib/posture/host/host.h"

#include "base/clock.h"
#include "lib/guest/xml.h"
#include "lib/posture/host/conf.h"
#include "lib/posture/host/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MILLISECONDS 3000

/* Where libvirt's QEMU driver notes the process of a guest that runs. */
static void pid_path(const struct host *h, const char *name, char *buf, size_t len)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	if (strstr(h->g->uri, "/session"))
		snprintf(buf, len, "%s/libvirt/qemu/run/%s.pid", run ? run : "", name);
	else
		snprintf(buf, len, "/run/libvirt/qemu/%s.pid", name);
}

/* Is it this guest's? The number may be another process's by now; QEMU is told the UUID. */
static int verify(const struct host_guest *g, struct proc *p, struct error *e)
{
	char text[UUID_STR_LEN];
	uuid_unparse_lower(g->uuid, text);
	const char *uuid = proc_argument(p, "-uuid", 0);
	if (uuid && !strcasecmp(uuid, text))
		return 0;
	return error_set(e, ERROR_NOT_FOUND, ESRCH, "process %d is not that of domain %s", (int)p->pid, g->name);
}

static int find_process(const struct host *h, struct host_guest *g, struct error *e)
{
	if (!h->local)
		return error_set(e, ERROR_FAILED, EREMOTE, "its process is on another host");
	char path[PATH_MAX], text[32] = "";
	pid_path(h, g->name, path, sizeof(path));
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return error_errno(e, ERROR_FAILED, fd < 0 ? errno : ENODATA,
				   "libvirt's note of its process, %s, cannot be read", path);
	int r = proc_open((pid_t)atoi(text), &g->proc, e);
	if (r == 0 && (r = verify(g, &g->proc, e)) < 0)
		proc_close(&g->proc);
	return r;
}

static int fill_guest(const struct host *h, virDomainPtr d, struct host_guest *g, struct error *e)
{
	*g = (struct host_guest){ .domain = d, .proc.fd = -1 };
	snprintf(g->name, sizeof(g->name), "%s", virDomainGetName(d));
	snprintf(g->subject, sizeof(g->subject), "domain %s", g->name);
	virDomainGetUUID(d, g->uuid);
	bool active = virDomainIsActive(d) == 1;
	/* One that goes away while we look is not there: a description that is missing is no guest of that kind. */
	char *text = active ? virDomainGetXMLDesc(d, 0) : NULL;
	g->live = text ? guest_xml_parse(text) : NULL;
	free(text);
	text = virDomainIsPersistent(d) == 1 ? virDomainGetXMLDesc(d, VIR_DOMAIN_XML_INACTIVE) : NULL;
	g->config = text ? guest_xml_parse(text) : NULL;
	free(text);
	(void)e;
	if (g->live)
		find_process(h, g, &g->no_proc);
	return 0;
}

static int read_guests(struct host *h, const char *domain, struct error *e)
{
	virDomainPtr *domains = NULL, one = NULL;
	int n = 0;
	if (domain) {
		int r = guest_find_domain(h->g, domain, &one, e);
		if (r < 0)
			return r;
		n = 1;
	} else if ((n = virConnectListAllDomains(h->g->conn, &domains, 0)) < 0) {
		return guest_error(e, "cannot list the domains");
	}
	AUTOFREE void *list = domains;
	(void)list;
	h->guests = calloc((size_t)n + 1, sizeof(*h->guests));
	int r = h->guests ? 0 : error_oom(e);
	for (int i = 0; i < n; i++) {
		virDomainPtr d = one ? one : domains[i];
		if (r == 0)
			r = fill_guest(h, d, &h->guests[h->n++], e);
		else
			virDomainFree(d);
	}
	return r;
}

/* Is it the one that is there by itself, at the socket that is known? */
static bool is_own_daemon(const char *uri)
{
	if (!uri)
		uri = getenv("LIBVIRT_DEFAULT_URI");
	return !uri || !*uri || !strcmp(uri, "qemu:///system");
}

int host_open(const char *root, const char *uri, const char *domain, unsigned milliseconds, struct host **ret,
	      struct error *e)
{
	AUTOHOST struct host *h = calloc(1, sizeof(*h));
	if (!h)
		return error_oom(e);
	h->root = root ? root : "";
	h->running = !root;
	h->deadline = clock_ms() + (milliseconds ? milliseconds : MILLISECONDS);
	if (root) {
		error_set(&h->no_libvirt, ERROR_FAILED, ENOTSUP, "the host below %s does not run", root);
	} else {
		int r = 0;
		/* Half of the time is for the daemon. */
		if (is_own_daemon(uri))
			r = service_answers(h->deadline - host_time_left(h, INT_MAX) / 2, &h->no_libvirt);
		if (r == 0)
			r = guest_connect(uri, &h->g, &h->no_libvirt);
		/* A URI that a person gave, or a guest, must be there. */
		if (r < 0 && (uri || domain))
			return error_pass(e, &h->no_libvirt);
		h->local = !h->g || h->g->local;
		if (r == 0 && (r = read_guests(h, domain, e)) < 0)
			return r;
	}
	*ret = TAKE_PTR(h);
	return 0;
}

void host_free(struct host *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++) {
		struct host_guest *g = &h->guests[i];
		if (g->live)
			xmlFreeDoc(g->live);
		if (g->config)
			xmlFreeDoc(g->config);
		if (g->domain)
			virDomainFree(g->domain);
		proc_close(&g->proc);
	}
	free(h->guests);
	conf_close(h);
	host_probe_free(h->probes);
	guest_disconnect(h->g);
	free(h);
}

const char *host_path(const struct host *h, const char *path, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s", h->root, path);
	return buf;
}

int host_time_left(const struct host *h, int most)
{
	int64_t left = h->deadline - clock_ms();
	return left < 0 ? 0 : left > most ? most : (int)left;
}
