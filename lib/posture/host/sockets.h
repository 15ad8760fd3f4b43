/* Sockets that listen, as the kernel tells (NETLINK_SOCK_DIAG), and whose they are (/proc/PID/fd). */
#ifndef LIB_POSTURE_HOST_SOCKETS_H
#define LIB_POSTURE_HOST_SOCKETS_H

#include "lib/posture/host/proc.h"

#include <netinet/in.h>

enum reach {
	REACH_LOOPBACK, /* this host */
	REACH_ADDRESS,	/* one address of it */
	REACH_ANY,	/* all of its addresses */
};

/* A TCP socket that listens in our network namespace. */
struct host_socket {
	uint64_t inode;
	sa_family_t family;
	struct in6_addr address; /* of AF_INET: its first four bytes */
	uint16_t port;
};

struct host_sockets {
	struct host_socket *list;
	size_t n;
};

/* All of them. The caller clears *ret. */
int sockets_read(struct host_sockets *ret, struct error *e);
void sockets_clear(struct host_sockets *s);
#define AUTOSOCKETS CLEANUP(sockets_clear)

enum reach socket_reach(const struct host_socket *s);

/* "0.0.0.0:5900"; buf of SOCKET_TEXT. */
#define SOCKET_TEXT 64
const char *socket_text(const struct host_socket *s, char *buf, size_t len);

/* Where to connect to in order to get there from this host. */
socklen_t socket_target(const struct host_socket *s, struct sockaddr_storage *ret);

/* The inodes of all sockets that a process has, TCP or not; the caller frees *ret. */
int proc_sockets(const struct proc *p, uint64_t **ret, size_t *ret_n, struct error *e);

/* Is it one of them? */
bool socket_is_one_of(const struct host_socket *s, const uint64_t *inodes, size_t n);

#endif
