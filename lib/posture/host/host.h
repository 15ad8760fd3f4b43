/*
 * A host as checks see it: its guests with their definitions and processes, libvirt's files, sockets. Read once, when
 * the first check asks; a check that cannot be answered gets the reason.
 */
#ifndef LIB_POSTURE_HOST_HOST_H
#define LIB_POSTURE_HOST_HOST_H

#include "base/cleanup.h"
#include "base/error.h"
#include "lib/guest/connection.h"
#include "lib/posture/host/proc.h"

#include <libxml/tree.h>

/* libvirt's files. */
enum host_conf {
	HOST_CONF_QEMU,	  /* /etc/libvirt/qemu.conf */
	HOST_CONF_DAEMON, /* /etc/libvirt/libvirtd.conf */
};
#define HOST_CONFS (HOST_CONF_DAEMON + 1)

struct host_guest {
	char name[256];
	char subject[272]; /* "domain NAME" */
	uuid_t uuid;
	virDomainPtr domain;
	xmlDocPtr live, config; /* NULL: does not run, is not defined */
	struct proc proc;	/* of a guest that runs, if it can be seen; fd -1 otherwise */
	struct error no_proc;	/* why not */
};

struct host {
	const char *root;	    /* "" for the host that runs here */
	bool running;		    /* this host, as it runs */
	bool local;		    /* and libvirt is its own: processes and sockets can be looked at */
	struct guest_connection *g; /* NULL: not reached */
	struct error no_libvirt;    /* why not */
	struct host_guest *guests;
	size_t n;
	int64_t deadline;      /* clock_ms(): what waits for others ends then */
	const char *keystore;  /* its path */
	struct augeas *augeas; /* of libaugeas; NULL before the first file */
	bool wants_service, wants_consoles; /* what host_probe() asks: the topics that are looked at */
	struct host_probes *probes;	    /* of probe.h; NULL before the first check that asks */
};

/*
 * root NULL: this host, and libvirt is asked; one that does not answer is noted in .no_libvirt. domain: only that
 * guest (ERROR_NOT_FOUND), or NULL. The caller frees.
 */
int host_open(const char *root, const char *uri, const char *domain, unsigned milliseconds, struct host **ret,
	      struct error *e);
void host_free(struct host *h);
static inline void host_freep(struct host **h)
{
	host_free(*h);
}
#define AUTOHOST CLEANUP(host_freep)

/* The path of a file on that host; buf of PATH_MAX. */
const char *host_path(const struct host *h, const char *path, char *buf, size_t len);

/* The path of one of libvirt's files, for a person. */
const char *host_conf_path(enum host_conf file);

/*
 * What `key` is set to in one of libvirt's files, as its own lens reads it. 1: *ret is the text, the caller frees;
 * 0: not set, or there is no such file. ERROR_FAILED: it cannot be read, or is not what libvirt takes.
 */
int host_conf_get(struct host *h, enum host_conf file, const char *key, char **ret, struct error *e);

/* The i-th entry (from 0) of a list; as host_conf_get(), 0 behind the last. */
int host_conf_item(struct host *h, enum host_conf file, const char *key, unsigned i, char **ret, struct error *e);

/* How many entries the list has. 1: *ret is it; 0: not set. */
int host_conf_count(struct host *h, enum host_conf file, const char *key, long *ret, struct error *e);

/*
 * Sets `key` (value NULL: takes it away) in what will be written; host_conf_text() then gives the whole new file, with
 * its comments, which the caller frees and which is nowhere yet. ERROR_FAILED: libvirt's lens does not take it.
 */
int host_conf_set(struct host *h, enum host_conf file, const char *key, const char *value, struct error *e);
int host_conf_text(struct host *h, enum host_conf file, char **ret, struct error *e);

/* Milliseconds until the deadline, at least 0, at most `most`. */
int host_time_left(const struct host *h, int most);

#endif
