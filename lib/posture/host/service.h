/* libvirt's daemon as others reach it: its ports and who is connected now; and what the SSH server would allow. */
#ifndef LIB_POSTURE_HOST_SERVICE_H
#define LIB_POSTURE_HOST_SERVICE_H

#include "lib/posture/host/host.h"
#include "lib/posture/host/rpc.h"
#include "lib/posture/host/sockets.h"

#define SERVICE_TCP_PORT 16509
#define SERVICE_TLS_PORT 16514

struct service_port {
	struct host_socket socket;
	char where[SOCKET_TEXT];
	bool expects_tls; /* by its number */
	int probed;	  /* 0, or the negative errno of `why` */
	struct error why;
	bool plain;	     /* it speaks libvirt's protocol without TLS */
	struct rpc_seen rpc; /* and then asks for this */
	struct tls_seen tls; /* .done: it speaks TLS */
	bool takes_anybody;  /* after TLS, without a certificate; false: cut off */
};

struct service_ports {
	struct service_port *list;
	size_t n;
};

/*
 * The TCP ports of libvirt's daemons (libvirtd, virtproxyd), and those that systemd keeps for them: by owner as far as
 * that can be seen, and by number. The caller clears *ret.
 */
int service_find(struct host *h, const struct host_sockets *sockets, struct service_ports *ret, struct error *e);
void service_clear(struct service_ports *p);

/* A job of pool.h: connects to one port. */
void service_probe(void *port, int64_t deadline);

/*
 * Does libvirt's daemon of this host answer at its own socket? ETIMEDOUT: something listens there and does not, and
 * then a call of libvirt's library would wait without an end. 0: it does, or nothing listens.
 */
int service_answers(int64_t deadline, struct error *e);

/* Asks the daemon's own administration who is connected now. ERROR_FAILED as in rpc.h. */
int service_list_clients(struct rpc_clients *ret, int64_t deadline, struct error *e);

#endif
