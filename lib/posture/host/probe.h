/*
 * All that waits for an answer of somebody else, asked once and at the same time, under the host's deadline: when the
 * first check asks, so that servers that hang cost their time once. What is in it lasts as long as the host.
 */
#ifndef LIB_POSTURE_HOST_PROBE_H
#define LIB_POSTURE_HOST_PROBE_H

#include "lib/posture/host/console.h"
#include "lib/posture/host/service.h"

struct host_probes {
	int sockets; /* 0, or the negative errno of no_sockets: then there are no ports and consoles */
	struct error no_sockets;
	struct service_ports ports;
	struct consoles consoles;
	int clients; /* 0, or the negative errno of no_clients */
	struct error no_clients;
	struct rpc_clients connected;
	int sshd; /* 0, or the negative errno of no_sshd: ENOENT where there is none */
	struct error no_sshd;
	char *sshd_text; /* what `sshd -T` says for root */
	char *ruleset;	 /* what `nft list ruleset` says; NULL: it does not */
};

/* NULL: out of memory. */
const struct host_probes *host_probe(struct host *h);

/* Ends what host_probe() keeps. */
void host_probe_free(struct host_probes *p);

#endif
