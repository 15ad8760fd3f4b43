/* Who is at the other end of a UNIX socket: the kernel says it, whatever the socket is called. */
#ifndef LIB_GUEST_PEER_H
#define LIB_GUEST_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum guest_peer_kind {
	PEER_NONE,	/* no UNIX socket was opened */
	PEER_DAEMON,	/* libvirt's daemon, root's or ours, in the file system that we see */
	PEER_SYSTEMD,	/* pid 1 of this host, which listens for a daemon that it starts */
	PEER_HIDDEN,	/* a process of root's that only root may look at */
	PEER_OTHER,	/* a relay, a forwarded socket, another user's process … */
};

struct guest_peer {
	enum guest_peer_kind kind;
	pid_t pid;		/* 0: in a process namespace that we do not see */
	char program[64];	/* for a person; "?" */
};

/* The sockets that this process has open; then those that it has opened since. */
struct guest_sockets {
	unsigned char seen[128];	/* a bit each for the first 1024 descriptors */
};
void guest_sockets_note(struct guest_sockets *ret);

/* The worst of the peers of UNIX sockets that were connected since then. */
void guest_sockets_peer(const struct guest_sockets *before, struct guest_peer *ret);

#endif
