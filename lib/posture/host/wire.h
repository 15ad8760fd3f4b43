/* A connection to a server that may hang, lie or talk garbage, in plain or in TLS: all within a time. */
#ifndef LIB_POSTURE_HOST_WIRE_H
#define LIB_POSTURE_HOST_WIRE_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <openssl/types.h>

/* What a server's TLS turned out to be. */
struct tls_seen {
	bool done;	   /* the handshake came to its end */
	char protocol[16]; /* "TLSv1.3" */
	char cipher[64];
	X509 *certificate; /* that it serves; NULL: none. Belongs to this struct */
};
void tls_seen_clear(struct tls_seen *s);

struct wire {
	int fd;		  /* -1: not connected */
	int64_t deadline; /* clock_ms() */
	SSL_CTX *context;
	SSL *ssl;     /* NULL: in plain */
	bool secured; /* its handshake is done */
};
#define WIRE_NONE        \
	{                \
		.fd = -1 \
	}
void wire_close(struct wire *w);
#define AUTOWIRE CLEANUP(wire_close)

/*
 * Results of all of these: ERROR_FAILED with ETIMEDOUT (no answer in time), ECONNRESET (the other side ended it; in
 * TLS also by an alert), EPROTO (what it says is no TLS), or what connect() says.
 */
int wire_connect(struct wire *w, const struct sockaddr *to, socklen_t len, int64_t deadline, struct error *e);

/* All of len bytes, or an error. */
int wire_read(struct wire *w, void *buf, size_t len, struct error *e);
int wire_write(struct wire *w, const void *buf, size_t len, struct error *e);

/* TLS from now on, as a client that has no certificate and takes whatever the server has. */
int wire_tls(struct wire *w, struct tls_seen *ret, struct error *e);

/* In network order. */
int wire_read_u32(struct wire *w, uint32_t *ret, struct error *e);
int wire_write_u32(struct wire *w, uint32_t value, struct error *e);

#endif
