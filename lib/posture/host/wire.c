#include "lib/posture/host/wire.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/library/library.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

void tls_seen_clear(struct tls_seen *s)
{
	X509_free(s->certificate);
	*s = (struct tls_seen){ 0 };
}

void wire_close(struct wire *w)
{
	SSL_free(w->ssl);
	SSL_CTX_free(w->context);
	cleanup_close(&w->fd);
	*w = (struct wire)WIRE_NONE;
}

static int timed_out(struct error *e)
{
	return error_set(e, ERROR_FAILED, ETIMEDOUT, "it does not answer in time");
}

static int ended(struct error *e)
{
	return error_set(e, ERROR_FAILED, ECONNRESET, "it ended the connection");
}

/* Until the descriptor is ready, or the time is over. */
static int wait(const struct wire *w, short events, struct error *e)
{
	for (;;) {
		int64_t left = w->deadline - clock_ms();
		struct pollfd p = { .fd = w->fd, .events = events };
		int n = left > 0 ? poll(&p, 1, left > 60000 ? 60000 : (int)left) : 0;
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_errno(e, ERROR_FAILED, errno, "it cannot be waited for");
		if (left <= 0)
			return timed_out(e);
	}
}

int wire_connect(struct wire *w, const struct sockaddr *to, socklen_t len, int64_t deadline, struct error *e)
{
	*w = (struct wire)WIRE_NONE;
	w->deadline = deadline;
	w->fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return error_errno(e, ERROR_FAILED, errno, "no socket");
	int err = connect(w->fd, to, len) < 0 ? errno : 0;
	/* A UNIX socket whose queue is full says EAGAIN, and cannot be waited for: its server takes nobody. */
	if (err == EAGAIN)
		return timed_out(e);
	if (err == EINPROGRESS) {
		int r = wait(w, POLLOUT, e);
		if (r < 0)
			return r;
		socklen_t size = sizeof(err);
		if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
			err = errno;
	}
	return err ? error_errno(e, ERROR_FAILED, err, "it cannot be connected to") : 0;
}

/* What an SSL function that did not succeed wants: 0, when it is to be called again. */
static int tls_wait(struct wire *w, int result, struct error *e)
{
	switch (SSL_get_error(w->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait(w, POLLIN, e);
	case SSL_ERROR_WANT_WRITE:
		return wait(w, POLLOUT, e);
	case SSL_ERROR_ZERO_RETURN:
	case SSL_ERROR_SYSCALL:
		return ended(e);
	default:
		break;
	}
	/* After a handshake an alert, or an end without one, says that the other side wants no more of us. */
	int reason = ERR_GET_REASON(ERR_peek_last_error());
	if (w->secured && (reason >= SSL_AD_REASON_OFFSET || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING))
		return ended(e);
	return error_set(e, ERROR_FAILED, EPROTO, "it is no TLS that it speaks, or it refuses ours");
}

int wire_read(struct wire *w, void *buf, size_t len, struct error *e)
{
	for (size_t have = 0; have < len;) {
		char *at = (char *)buf + have;
		ERR_clear_error();
		ssize_t n = w->ssl ? SSL_read(w->ssl, at, (int)(len - have)) : recv(w->fd, at, len - have, 0);
		if (n > 0) {
			have += (size_t)n;
			continue;
		}
		int r = 0;
		if (w->ssl) {
			r = tls_wait(w, (int)n, e);
		} else if (n == 0 || errno == ECONNRESET) {
			return ended(e);
		} else if (errno == EAGAIN) {
			r = wait(w, POLLIN, e);
		} else if (errno != EINTR) {
			r = error_errno(e, ERROR_FAILED, errno, "it cannot be read from");
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int wire_write(struct wire *w, const void *buf, size_t len, struct error *e)
{
	for (size_t done = 0; done < len;) {
		const char *at = (const char *)buf + done;
		ERR_clear_error();
		ssize_t n =
			w->ssl ? SSL_write(w->ssl, at, (int)(len - done)) : send(w->fd, at, len - done, MSG_NOSIGNAL);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		int r = 0;
		if (w->ssl)
			r = tls_wait(w, (int)n, e);
		else if (errno == EPIPE || errno == ECONNRESET)
			r = ended(e);
		else if (errno == EAGAIN)
			r = wait(w, POLLOUT, e);
		else if (errno != EINTR)
			r = error_errno(e, ERROR_FAILED, errno, "it cannot be written to");
		if (r < 0)
			return r;
	}
	return 0;
}

int wire_tls(struct wire *w, struct tls_seen *ret, struct error *e)
{
	int r = openssl_load(e);
	if (r == 0)
		r = ssl_load(e);
	if (r < 0)
		return r;
	w->context = SSL_CTX_new(TLS_client_method());
	/* Old versions and ciphers are what is looked for, so they may be seen. */
	if (!w->context || !SSL_CTX_set_cipher_list(w->context, "DEFAULT:@SECLEVEL=0") ||
	    !SSL_CTX_set_min_proto_version(w->context, TLS1_VERSION) || !(w->ssl = SSL_new(w->context)) ||
	    !SSL_set_fd(w->ssl, w->fd))
		return error_oom(e);
	for (;;) {
		ERR_clear_error();
		int n = SSL_connect(w->ssl);
		if (n == 1)
			break;
		r = tls_wait(w, n, e);
		if (r < 0)
			return r;
	}
	ret->done = w->secured = true;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(w->ssl);
	snprintf(ret->protocol, sizeof(ret->protocol), "%s", SSL_get_version(w->ssl));
	snprintf(ret->cipher, sizeof(ret->cipher), "%s", cipher ? SSL_CIPHER_get_name(cipher) : "none");
	X509_free(ret->certificate);
	ret->certificate = SSL_get1_peer_certificate(w->ssl);
	return 0;
}

int wire_read_u32(struct wire *w, uint32_t *ret, struct error *e)
{
	uint8_t b[4];
	int r = wire_read(w, b, sizeof(b), e);
	if (r == 0)
		*ret = get_be32(b);
	return r;
}

int wire_write_u32(struct wire *w, uint32_t value, struct error *e)
{
	uint8_t b[4];
	put_be32(b, value);
	return wire_write(w, b, sizeof(b), e);
}
