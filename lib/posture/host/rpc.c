#include "lib/posture/host/rpc.h"

#include "base/text.h"
#include "lib/posture/host/xdr.h"

#include <errno.h>
#include <string.h>

/* Numbers of libvirt's protocols: that of all clients, and that of administration. */
#define REMOTE 0x20008086u
#define REMOTE_AUTH_LIST 66u
#define REMOTE_AUTH_SASL_INIT 67u
#define ADMIN 0x06900690u
#define ADMIN_OPEN 1u
#define ADMIN_LIST_CLIENTS 8u
#define ADMIN_CLIENT_INFO 10u
#define VERSION 1u
#define CALL 0u
#define REPLY 1u
#define OK 0u

#define HEAD_WORDS 7 /* length, program, version, procedure, type, serial, status */
#define BODY_MAX (1024 * 1024)
#define SERVER "libvirtd"

static int garbage(struct error *e)
{
	return error_set(e, ERROR_FAILED, EPROTO, "what it says is not libvirt's protocol");
}

struct call {
	uint32_t program, procedure, serial;
	const uint8_t *arguments;
	size_t len;
};

static int send_call(struct wire *w, const struct call *c, struct error *e)
{
	const uint32_t words[HEAD_WORDS] = {
		HEAD_WORDS * 4 + (uint32_t)c->len, c->program, VERSION, c->procedure, CALL, c->serial, OK
	};
	uint8_t head[HEAD_WORDS * 4];
	for (size_t i = 0; i < HEAD_WORDS; i++)
		put_be32(head + 4 * i, words[i]);
	int r = wire_write(w, head, sizeof(head), e);
	return r < 0 || !c->len ? r : wire_write(w, c->arguments, c->len, e);
}

/* The body of its reply; the caller frees. EACCES: the daemon answers with an error. */
static int call(struct wire *w, const struct call *c, uint8_t **ret, size_t *ret_len, struct error *e)
{
	uint8_t head[HEAD_WORDS * 4];
	int r = send_call(w, c, e);
	if (r == 0)
		r = wire_read(w, head, sizeof(head), e);
	if (r < 0)
		return r;
	uint32_t len = get_be32(head);
	if (len < sizeof(head) || len - sizeof(head) > BODY_MAX || get_be32(head + 4) != c->program ||
	    get_be32(head + 12) != c->procedure || get_be32(head + 16) != REPLY || get_be32(head + 20) != c->serial)
		return garbage(e);
	len -= (uint32_t)sizeof(head);
	AUTOFREE uint8_t *body = malloc(len + 1);
	if (!body)
		return error_oom(e);
	r = wire_read(w, body, len, e);
	if (r == 0 && get_be32(head + 24) != OK)
		return error_set(e, ERROR_FAILED, EACCES, "it refuses to say so");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(body);
	*ret_len = len;
	return 0;
}

static int read_mechanisms(struct wire *w, struct rpc_seen *s, struct error *e)
{
	AUTOFREE uint8_t *body = NULL;
	const struct call c = { .program = REMOTE, .procedure = REMOTE_AUTH_SASL_INIT, .serial = 1 };
	size_t len;
	int r = call(w, &c, &body, &len, e);
	/* Without a mechanism that is strong enough it says so by an error, and nobody gets in. */
	if (r == -EACCES)
		return 0;
	if (r < 0)
		return r;
	struct xdr x = { .at = body, .left = len };
	xdr_text(&x, s->mechanisms, sizeof(s->mechanisms));
	text_make_printable(s->mechanisms);
	return x.bad ? garbage(e) : 0;
}

int rpc_probe(struct wire *w, struct rpc_seen *ret, struct error *e)
{
	AUTOFREE uint8_t *body = NULL;
	const struct call c = { .program = REMOTE, .procedure = REMOTE_AUTH_LIST };
	size_t len;
	int r = call(w, &c, &body, &len, e);
	if (r < 0)
		return r;
	struct xdr x = { .at = body, .left = len };
	uint32_t n = xdr_u32(&x);
	if (n == 0 || n > ARRAY_LEN(ret->auth))
		return garbage(e);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t type = xdr_u32(&x);
		if (x.bad || type >= ARRAY_LEN(ret->auth))
			return garbage(e);
		ret->auth[type] = true;
	}
	return ret->auth[RPC_AUTH_SASL] ? read_mechanisms(w, ret, e) : 0;
}

/* As the daemon names a client, and is asked for it. */
struct handle {
	uint64_t id, since;
	uint32_t transport;
};

static size_t put_server(uint8_t *to)
{
	put_be32(to, sizeof(SERVER) - 1);
	memcpy(to + 4, SERVER, sizeof(SERVER) - 1);
	return 4 + sizeof(SERVER) - 1;
}
_Static_assert((sizeof(SERVER) - 1) % 4 == 0, "the name needs no padding");

/* One parameter, "name = value": what of it is worth knowing. */
static void take_parameter(struct xdr *x, struct rpc_client *c)
{
	enum { INT = 1, UINT, LLONG, ULLONG, DOUBLE, BOOLEAN, STRING };
	char name[64], text[128] = "";
	uint32_t number = 0;
	xdr_text(x, name, sizeof(name));
	switch (xdr_u32(x)) {
	case INT:
	case UINT:
	case BOOLEAN:
		number = xdr_u32(x);
		break;
	case LLONG:
	case ULLONG:
	case DOUBLE:
		xdr_u64(x);
		break;
	case STRING:
		xdr_text(x, text, sizeof(text));
		break;
	default:
		x->bad = true;
	}
	if (!strcmp(name, "readonly"))
		c->readonly = number != 0;
	else if (!strcmp(name, "unix_user_id"))
		c->uid = (int)number;
	else if (!strcmp(name, "unix_process_id"))
		c->pid = (int)number;
	if (strcmp(name, "sasl_user_name") && strcmp(name, "tls_x509_dname") && strcmp(name, "unix_user_name") &&
	    strcmp(name, "sock_addr"))
		return;
	size_t at = strlen(c->who);
	if (*text)
		snprintf(c->who + at, sizeof(c->who) - at, "%s%s", at ? ", " : "", text);
}

static int ask_client(struct wire *w, const struct handle *h, uint32_t serial, struct rpc_client *ret, struct error *e)
{
	AUTOFREE uint8_t *body = NULL;
	uint8_t arguments[64];
	size_t len = put_server(arguments);
	put_be64(arguments + len, h->id);
	put_be64(arguments + len + 8, h->since);
	put_be32(arguments + len + 16, h->transport);
	put_be32(arguments + len + 20, 0);
	const struct call c = { ADMIN, ADMIN_CLIENT_INFO, serial, arguments, len + 24 };
	int r = call(w, &c, &body, &len, e);
	if (r < 0)
		return r;
	struct xdr x = { .at = body, .left = len };
	*ret = (struct rpc_client){ .transport = h->transport, .uid = -1, .pid = -1 };
	for (uint32_t n = xdr_u32(&x); n > 0 && !x.bad; n--)
		take_parameter(&x, ret);
	text_make_printable(ret->who);
	return x.bad ? garbage(e) : 0;
}

static int open_administration(struct wire *w, struct error *e)
{
	AUTOFREE uint8_t *body = NULL;
	uint8_t flags[4] = { 0 };
	const struct call c = { ADMIN, ADMIN_OPEN, 0, flags, sizeof(flags) };
	size_t len;
	return call(w, &c, &body, &len, e);
}

int rpc_list_clients(struct wire *w, struct rpc_clients *ret, struct error *e)
{
	AUTOFREE uint8_t *body = NULL;
	uint8_t arguments[64];
	size_t len = put_server(arguments);
	put_be32(arguments + len, 1); /* the list and not the number alone */
	put_be32(arguments + len + 4, 0);
	const struct call c = { ADMIN, ADMIN_LIST_CLIENTS, 1, arguments, len + 8 };
	int r = open_administration(w, e);
	if (r == 0)
		r = call(w, &c, &body, &len, e);
	if (r < 0)
		return r;
	struct xdr x = { .at = body, .left = len };
	uint32_t n = xdr_u32(&x), serial = 2;
	for (; n > 0; n--) {
		char server[64];
		xdr_text(&x, server, sizeof(server));
		struct handle h;
		h.id = xdr_u64(&x);
		h.since = xdr_u64(&x);
		h.transport = xdr_u32(&x);
		if (x.bad)
			return garbage(e);
		if (ret->n == RPC_CLIENTS_MAX) {
			ret->left_out++;
			continue;
		}
		r = ask_client(w, &h, serial++, &ret->list[ret->n], e);
		/* One that has gone in between is none. */
		if (r < 0 && r != -EACCES)
			return r;
		ret->n += r == 0;
	}
	return 0;
}
