#include "lib/posture/host/console.h"

#include "lib/guest/xml.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define VNC_FIRST_PORT 5900

/* What is known of one guest while its consoles are looked for. */
struct search {
	const struct host_guest *guest;
	const struct host_sockets *sockets;
	uint64_t *inodes; /* NULL: cannot be seen, so its ports tell */
	size_t n_inodes;
	struct consoles *to;
};

static struct console *add(struct search *s, enum console_kind kind, struct error *e)
{
	struct console *more = realloc(s->to->list, (s->to->n + 1) * sizeof(*more));
	if (!more) {
		error_oom(e);
		return NULL;
	}
	s->to->list = more;
	struct console *c = &more[s->to->n++];
	*c = (struct console){ .guest = s->guest, .kind = kind };
	return c;
}

static bool known_socket(const struct search *s, const struct host_socket *socket)
{
	for (size_t i = 0; i < s->to->n; i++)
		if (s->to->list[i].guest == s->guest && s->to->list[i].socket.inode == socket->inode)
			return true;
	return false;
}

static bool known_path(const struct search *s, const char *path)
{
	for (size_t i = 0; i < s->to->n; i++)
		if (s->to->list[i].guest == s->guest && !strcmp(s->to->list[i].path, path))
			return true;
	return false;
}

static int add_socket(struct search *s, enum console_kind kind, const struct host_socket *socket, struct error *e)
{
	struct console *c = add(s, kind, e);
	if (!c)
		return -ENOMEM;
	c->socket = *socket;
	socket_text(socket, c->where, sizeof(c->where));
	return 0;
}

static int add_path(struct search *s, const char *path, struct error *e)
{
	if (!*path || known_path(s, path))
		return 0;
	struct console *c = add(s, CONSOLE_VNC, e);
	if (!c)
		return -ENOMEM;
	snprintf(c->path, sizeof(c->path), "%.*s", (int)sizeof(c->path) - 1, path);
	snprintf(c->where, sizeof(c->where), "%s", c->path);
	if (strlen(path) >= sizeof(c->path))
		c->probed = error_set(&c->why, ERROR_FAILED, ENAMETOOLONG, "the name of its socket is too long");
	return 0;
}

static bool is_mine(const struct search *s, const struct host_socket *socket)
{
	return !s->inodes || socket_is_one_of(socket, s->inodes, s->n_inodes);
}

/* All sockets at a port; a port without one is a console that could not be found. */
static int add_port(struct search *s, enum console_kind kind, long port, struct error *e)
{
	bool found = false;
	int r = 0;
	if (port <= 0 || port > UINT16_MAX)
		return 0;
	for (size_t i = 0; r == 0 && i < s->sockets->n; i++) {
		const struct host_socket *socket = &s->sockets->list[i];
		if (socket->port != port || !is_mine(s, socket))
			continue;
		found = true;
		if (!known_socket(s, socket))
			r = add_socket(s, kind, socket, e);
	}
	if (r < 0 || found)
		return r;
	struct console *c = add(s, kind, e);
	if (!c)
		return -ENOMEM;
	snprintf(c->where, sizeof(c->where), "port %ld", port);
	c->probed = error_set(&c->why, ERROR_NOT_FOUND, ENOENT,
			      "no socket of its process listens there in this network namespace");
	return 0;
}

static long number(xmlNodePtr node, const char *attribute)
{
	char text[32];
	guest_xml_copy(node, attribute, text, sizeof(text));
	return strtol(text, NULL, 10);
}

static int add_graphics(struct search *s, xmlNodePtr node, struct error *e)
{
	char path[256];
	if (guest_xml_is(node, "type", "spice")) {
		int r = add_port(s, CONSOLE_SPICE, number(node, "port"), e);
		return r < 0 ? r : add_port(s, CONSOLE_SPICE_TLS, number(node, "tlsPort"), e);
	}
	if (!guest_xml_is(node, "type", "vnc"))
		return 0;
	guest_xml_copy(node, "socket", path, sizeof(path));
	int r = add_path(s, path, e);
	for (xmlNodePtr child = node->children; r == 0 && child; child = child->next) {
		guest_xml_copy(child, "socket", path, sizeof(path));
		r = add_path(s, path, e);
	}
	if (r == 0)
		r = add_port(s, CONSOLE_VNC, number(node, "port"), e);
	return r < 0 ? r : add_port(s, CONSOLE_WEBSOCKET, number(node, "websocket"), e);
}

static int add_xml(struct search *s, struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	int r = guest_xml_query(&x, s->guest->live, "/domain/devices/graphics", e);
	for (size_t i = 0; r == 0 && i < guest_xml_count(&x); i++)
		r = add_graphics(s, guest_xml_node(&x, i), e);
	return r;
}

/* "127.0.0.1:0,websocket=5700,…", "unix:PATH", either behind "vnc=". */
static int add_argument(struct search *s, const char *argument, struct error *e)
{
	char text[512];
	snprintf(text, sizeof(text), "%s", argument + (strncmp(argument, "vnc=", 4) ? 0 : 4));
	const char *websocket = strstr(text, ",websocket=");
	long port = websocket ? strtol(websocket + 11, NULL, 10) : 0;
	text[strcspn(text, ",")] = 0;
	int r = add_port(s, CONSOLE_WEBSOCKET, port, e);
	if (r < 0)
		return r;
	if (!strncmp(text, "unix:", 5))
		return add_path(s, text + 5, e);
	const char *display = strrchr(text, ':');
	return display && display[1] ? add_port(s, CONSOLE_VNC, VNC_FIRST_PORT + strtol(display + 1, NULL, 10), e) : 0;
}

static int add_arguments(struct search *s, struct error *e)
{
	const char *argument;
	int r = 0;
	for (unsigned i = 0; r == 0 && (argument = proc_argument(&s->guest->proc, "-vnc", i)); i++)
		r = add_argument(s, argument, e);
	return r;
}

/* What else its process listens at. */
static int add_others(struct search *s, struct error *e)
{
	int r = 0;
	for (size_t i = 0; s->inodes && r == 0 && i < s->sockets->n; i++)
		if (is_mine(s, &s->sockets->list[i]) && !known_socket(s, &s->sockets->list[i]))
			r = add_socket(s, CONSOLE_OTHER, &s->sockets->list[i], e);
	return r;
}

int consoles_find(struct host *h, const struct host_sockets *sockets, struct consoles *ret, struct error *e)
{
	int r = 0;
	for (size_t i = 0; h->local && r == 0 && i < h->n; i++) {
		struct search s = { .guest = &h->guests[i], .sockets = sockets, .to = ret };
		if (!s.guest->live)
			continue;
		bool seen = s.guest->proc.fd >= 0;
		if (seen)
			proc_sockets(&s.guest->proc, &s.inodes, &s.n_inodes, NULL);
		r = add_xml(&s, e);
		if (r == 0 && seen)
			r = add_arguments(&s, e);
		if (r == 0)
			r = add_others(&s, e);
		free(s.inodes);
	}
	return r;
}

void consoles_clear(struct consoles *c)
{
	for (size_t i = 0; i < c->n; i++) {
		rfb_seen_clear(&c->list[i].rfb);
		tls_seen_clear(&c->list[i].tls);
	}
	free(c->list);
	*c = (struct consoles){ 0 };
}

static int connect_to(const struct console *c, struct wire *w, int64_t deadline, struct error *e)
{
	struct sockaddr_storage to;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	if (!*c->path) {
		socklen_t len = socket_target(&c->socket, &to);
		return wire_connect(w, (struct sockaddr *)&to, len, deadline, e);
	}
	memcpy(name.sun_path, c->path, strlen(c->path) + 1);
	return wire_connect(w, (struct sockaddr *)&name, sizeof(name), deadline, e);
}

/* Begins what a browser would; the answer is not read to its end, so no console is opened. */
static int ask_websocket(struct console *c, int64_t deadline, struct error *e)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				  "Sec-WebSocket-Key: a3ZtY3J5cHQga3ZtY3J5cA==\r\nSec-WebSocket-Version: 13\r\n"
				  "Sec-WebSocket-Protocol: binary\r\n\r\n";
	AUTOWIRE struct wire w = WIRE_NONE;
	char answer[5] = "";
	int r = connect_to(c, &w, deadline, e);
	if (r == 0)
		r = wire_write(&w, ask, sizeof(ask) - 1, e);
	if (r == 0)
		r = wire_read(&w, answer, 4, e);
	if (r < 0)
		return r;
	c->speaks_http = !strcmp(answer, "HTTP");
	return c->speaks_http ? 0 : error_set(e, ERROR_FAILED, EPROTO, "what it says is neither TLS nor HTTP");
}

/* In plain first: QEMU ends the connection of who speaks HTTP to its TLS, and waits for ever for more of the other. */
static int probe_websocket(struct console *c, int64_t deadline, struct error *e)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	int r = ask_websocket(c, deadline, e);
	if (r != -EPROTO && r != -ECONNRESET)
		return r;
	r = connect_to(c, &w, deadline, e);
	return r < 0 ? r : wire_tls(&w, &c->tls, e);
}

void console_probe(void *console, int64_t deadline)
{
	struct console *c = console;
	if (c->probed < 0)
		return;
	if (c->kind == CONSOLE_WEBSOCKET) {
		c->probed = probe_websocket(c, deadline, &c->why);
	} else if (c->kind == CONSOLE_VNC) {
		AUTOWIRE struct wire w = WIRE_NONE;
		c->probed = connect_to(c, &w, deadline, &c->why);
		if (c->probed == 0)
			c->probed = rfb_probe(&w, &c->rfb, &c->why);
	}
}
