/*
 * libvirt's protocol, as far as it tells who may come in and who is in: the first calls of any client, and those of
 * the daemon's administration. Spoken here because libvirt-admin's library cannot be used by a program that has a
 * connection of libvirt's (both register the types of the one), and waits without an end.
 */
#ifndef LIB_POSTURE_HOST_RPC_H
#define LIB_POSTURE_HOST_RPC_H

#include "lib/posture/host/wire.h"

#define RPC_AUTH_NONE 0
#define RPC_AUTH_SASL 1
#define RPC_AUTH_POLKIT 2

struct rpc_seen {
	bool auth[3];	      /* what it takes */
	char mechanisms[128]; /* of SASL; "": it has none, so nobody gets in */
};

/* ERROR_FAILED as in wire.h; EPROTO: it is no daemon of libvirt's. */
int rpc_probe(struct wire *w, struct rpc_seen *ret, struct error *e);

enum rpc_transport {
	RPC_UNIX,
	RPC_TCP,
	RPC_TLS,
};

/* Somebody who is connected to libvirt's daemon. */
struct rpc_client {
	uint32_t transport; /* of enum rpc_transport, as far as we know them */
	bool readonly;
	int uid, pid;  /* of UNIX; -1: not known */
	char who[256]; /* names of SASL, certificate and user, and address; printable */
};

#define RPC_CLIENTS_MAX 256

struct rpc_clients {
	struct rpc_client list[RPC_CLIENTS_MAX];
	size_t n, left_out;
};

/* Who they are, asked at the socket of the daemon's administration. ERROR_FAILED as above; EACCES: it does not say. */
int rpc_list_clients(struct wire *w, struct rpc_clients *ret, struct error *e);

#endif
