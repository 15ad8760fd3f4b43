/* The consoles of guests that run: which sockets they are, and what each gives to somebody who just connects. */
#ifndef LIB_POSTURE_HOST_CONSOLE_H
#define LIB_POSTURE_HOST_CONSOLE_H

#include "lib/posture/host/host.h"
#include "lib/posture/host/rfb.h"
#include "lib/posture/host/sockets.h"

enum console_kind {
	CONSOLE_VNC,
	CONSOLE_WEBSOCKET, /* VNC for a browser */
	CONSOLE_SPICE,	   /* in plain */
	CONSOLE_SPICE_TLS,
	CONSOLE_OTHER, /* listens, and is none of these: a serial port, a migration. It is not connected to */
};

struct console {
	const struct host_guest *guest;
	enum console_kind kind;
	struct host_socket socket;
	char path[108];	     /* of a UNIX socket; "": a TCP socket */
	char where[128];     /* either one, for a person */
	int probed;	     /* 0, or the negative errno of `why` */
	struct error why;    /* why it was not found or did not tell */
	struct rfb_seen rfb; /* of VNC */
	struct tls_seen tls; /* of a websocket */
	bool speaks_http;    /* a websocket answered in plain */
};

struct consoles {
	struct console *list;
	size_t n;
};

/* All that the guests have. Nothing is connected to yet. The caller clears *ret. */
int consoles_find(struct host *h, const struct host_sockets *sockets, struct consoles *ret, struct error *e);
void consoles_clear(struct consoles *c);

/* A job of pool.h: connects to one console. */
void console_probe(void *console, int64_t deadline);

#endif
