/*
 * What servers say to `kvmcrypt check`, and what it reads of the host's filter. The first byte chooses whom the rest is
 * from: a VNC server, libvirt's daemon, its administration, nft, a PEM file.
 */
#include "base/clock.h"
#include "lib/posture/host/cert.h"
#include "lib/posture/host/filter.h"
#include "lib/posture/host/rfb.h"
#include "lib/posture/host/rpc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void from_server(int which, const uint8_t *data, size_t size)
{
	static struct rpc_clients clients;
	AUTOWIRE struct wire w = WIRE_NONE;
	AUTORFB struct rfb_seen rfb = { 0 };
	struct rpc_seen rpc = { 0 };
	char text[256];
	int pair[2], room = 1 << 20;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	w.fd = pair[0];
	w.deadline = clock_ms() + 5000;
	if (write(pair[1], data, size) < 0 && size)
		abort();
	shutdown(pair[1], SHUT_WR);
	clients = (struct rpc_clients){ 0 };
	if (which == 0 && rfb_probe(&w, &rfb, NULL) == 0)
		rfb_text(&rfb, text, sizeof(text));
	else if (which == 1)
		rpc_probe(&w, &rpc, NULL);
	else if (which == 2)
		rpc_list_clients(&w, &clients, NULL);
	close(pair[1]);
}

static void from_pem(const uint8_t *data, size_t size)
{
	AUTOCERT X509 *cert = NULL;
	char path[64], buf[256];
	bool named;
	AUTOCLOSE int fd = memfd_create("pem", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (cert_read(path, &cert, NULL) < 0)
		return;
	cert_seconds_left(cert);
	cert_serial(cert, buf, sizeof(buf));
	cert_subject(cert, buf, sizeof(buf));
	cert_names_host(cert, "kvm1", &named);
	cert_weakness(cert, buf, sizeof(buf));
	cert_misuse(cert, true);
	cert_is_signed_by(cert, cert, NULL);
	cert_matches_key(cert, path, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 65536)
		return 0;
	int which = data[0] % 5;
	data++, size--;
	if (which < 3) {
		from_server(which, data, size);
	} else if (which == 3) {
		char *text = strndup((const char *)data, size);
		filter_may_stop(text, 5900);
		free(text);
	} else {
		from_pem(data, size);
	}
	return 0;
}
