/* What check asks others (RFB, VeNCrypt, libvirt's protocol, websockets): servers that hang, drip, lie and end. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "lib/posture/host/console.h"
#include "lib/posture/host/filter.h"
#include "lib/posture/host/pool.h"
#include "lib/posture/host/rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct error e;

/* What a fake server says, all at once, and whether it ends then or hangs. */
struct said {
	const char *bytes;
	size_t len;
	bool hangs;
};

/* One end is a connection to a server that has said this already; what it is told it never reads. */
static void connect_fake(struct wire *w, const struct said *s, int *ret_server)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[1], s->bytes, s->len), (ssize_t)s->len);
	if (!s->hangs)
		shutdown(pair[1], SHUT_WR);
	*w = (struct wire)WIRE_NONE;
	w->fd = pair[0];
	w->deadline = clock_ms() + (s->hangs ? 20 : 60000);
	*ret_server = pair[1];
}

static int probe(const struct said *s, struct rfb_seen *ret)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	AUTOCLOSE int server = -1;
	connect_fake(&w, s, &server);
	*ret = (struct rfb_seen){ 0 };
	return rfb_probe(&w, ret, &e);
}

#define SAYS(text)                                     \
	{                                              \
		.bytes = text, .len = sizeof(text) - 1 \
	}
#define HANGS(text)                                                   \
	{                                                             \
		.bytes = text, .len = sizeof(text) - 1, .hangs = true \
	}

static void test_rfb_answers(void **state)
{
	(void)state;
	AUTORFB struct rfb_seen s = { 0 };
	char text[256];
	struct said none = SAYS("RFB 003.008\n\1\1\0\0\0\0");
	assert_ok(probe(&none, &s));
	assert_int_equal(s.end, RFB_CONSOLE);
	struct said old = SAYS("RFB 003.003\n\0\0\0\1");
	assert_ok(probe(&old, &s));
	assert_int_equal(s.end, RFB_CONSOLE);
	struct said password = SAYS("RFB 003.008\n\1\2");
	assert_ok(probe(&password, &s));
	assert_int_equal(s.end, RFB_ASKS);
	assert_string_equal(rfb_text(&s, text, sizeof(text)), "password");
	/* Where "none" is offered beside others, everybody has the console. */
	struct said both = SAYS("RFB 003.008\n\2\2\1\0\0\0\0");
	assert_ok(probe(&both, &s));
	assert_int_equal(s.end, RFB_CONSOLE);
	struct said sasl = SAYS("RFB 003.008\n\1\24\0\0\0\0");
	assert_ok(probe(&sasl, &s));
	assert_int_equal(s.end, RFB_ASKS);
	assert_string_equal(s.mechanisms, "");
	struct said anonymous = SAYS("RFB 003.008\n\1\23\0\2\0\1\0\0\1\1");
	assert_ok(probe(&anonymous, &s));
	assert_int_equal(s.end, RFB_NO_PROBE);
	assert_true(rfb_has_subtype(&s, RFB_TLS_NONE, RFB_TLS_NONE));
	struct said foreign = SAYS("RFB 003.008\n\1\5");
	assert_ok(probe(&foreign, &s));
	assert_int_equal(s.end, RFB_NO_PROBE);
	assert_string_equal(rfb_text(&s, text, sizeof(text)), "type 5");
}

static void test_rfb_lies(void **state)
{
	(void)state;
	static const struct {
		struct said said;
		int err;
	} servers[] = {
		{ SAYS(""), ECONNRESET },
		{ HANGS(""), ETIMEDOUT },
		{ HANGS("RFB 003.008\n"), ETIMEDOUT },
		{ SAYS("RFB 003.008\n"), ECONNRESET },
		{ SAYS("SSH-2.0-OpenSSH_9.2\r\n"), EPROTO },
		{ SAYS("RFB 004.008\n\1\1\0\0\0\0"), EPROTO },
		{ SAYS("RFB 003.008X\1\1\0\0\0\0"), EPROTO },
		{ SAYS("RFB xxx.yyy\n\1\1\0\0\0\0"), EPROTO },
		{ SAYS("RFB 003.003\n\0\0\0\0"), EPROTO },
		{ SAYS("RFB 003.003\n\377\377\377\377"), EPROTO },
		{ SAYS("RFB 003.008\n\0\0\0\0\4what"), EACCES },
		{ SAYS("RFB 003.008\n\377\1"), ECONNRESET }, /* fewer types than it says */
		{ HANGS("RFB 003.008\n\377\1"), ETIMEDOUT },
		{ SAYS("RFB 003.008\n\1\1\0\0\0\1"), EACCES },
		{ SAYS("RFB 003.008\n\1\1\0\0\7\7"), EPROTO },		/* a result that is none */
		{ SAYS("RFB 003.008\n\1\24\377\377\377\377"), EPROTO }, /* a list of 4 GiB */
		{ SAYS("RFB 003.008\n\1\24\0\0\0\4ab"), ECONNRESET },
		{ SAYS("RFB 003.008\n\1\23\0\1"), EPROTO }, /* a VeNCrypt that nobody has */
		{ SAYS("RFB 003.008\n\1\23\0\2\1"), EPROTO },
		{ SAYS("RFB 003.008\n\1\23\0\2\0\0"), EPROTO },
		{ SAYS("RFB 003.008\n\1\23\0\2\0\377\0\0\1\1"), ECONNRESET },
		{ SAYS("RFB 003.008\n\1\23\0\2\0\1\0\0\1\4\0"), EACCES },	 /* refuses what it offers */
		{ SAYS("RFB 003.008\n\1\23\0\2\0\1\0\0\1\4\1garbage"), EPROTO }, /* no TLS */
		{ HANGS("RFB 003.008\n\1\23\0\2\0\1\0\0\1\4\1"), ETIMEDOUT },
	};
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		AUTORFB struct rfb_seen s = { 0 };
		int r = probe(&servers[i].said, &s);
		if (r != -servers[i].err)
			fail_msg("server %zu: %d, not %d: %s", i, r, -servers[i].err, e.message);
	}
}

static int ask_libvirt(const struct said *s, struct rpc_seen *ret)
{
	AUTOWIRE struct wire w = WIRE_NONE;
	AUTOCLOSE int server = -1;
	connect_fake(&w, s, &server);
	*ret = (struct rpc_seen){ 0 };
	return rpc_probe(&w, ret, &e);
}

#define HEAD(len, status) "\0\0\0" len "\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\1\0\0\0\0\0\0\0" status

static void test_libvirt_answers(void **state)
{
	(void)state;
	struct rpc_seen s;
	struct said none = SAYS(HEAD("\44", "\0") "\0\0\0\1\0\0\0\0");
	assert_ok(ask_libvirt(&none, &s));
	assert_true(s.auth[RPC_AUTH_NONE]);
	struct said polkit = SAYS(HEAD("\44", "\0") "\0\0\0\1\0\0\0\2");
	assert_ok(ask_libvirt(&polkit, &s));
	assert_true(s.auth[RPC_AUTH_POLKIT] && !s.auth[RPC_AUTH_NONE]);
	static const struct {
		struct said said;
		int err;
	} servers[] = {
		{ SAYS(""), ECONNRESET },
		{ HANGS(""), ETIMEDOUT },
		{ HANGS(HEAD("\44", "\0")), ETIMEDOUT },
		{ SAYS("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), EPROTO },
		{ SAYS(HEAD("\44", "\1") "\0\0\0\1\0\0\0\0"), EACCES },
		{ SAYS(HEAD("\44", "\0") "\0\0\0\1\0\0\0\7"), EPROTO },
		{ SAYS(HEAD("\44", "\0") "\377\377\377\377\0\0\0\0"), EPROTO },
		{ SAYS(HEAD("\44", "\0") "\0\0\0\2\0\0\0\0"), EPROTO },
		{ SAYS(HEAD("\34", "\0")), EPROTO },
		{ SAYS(HEAD("\4", "\0") "\0\0\0\1\0\0\0\0"), EPROTO },
		{ SAYS("\377\377\377\377\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\1\0\0\0\0\0\0\0\0"), EPROTO },
	};
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		int r = ask_libvirt(&servers[i].said, &s);
		if (r != -servers[i].err)
			fail_msg("server %zu: %d, not %d: %s", i, r, -servers[i].err, e.message);
	}
}

#define CONSOLES 200
#define HANG_EACH 10 /* every tenth says nothing */

struct farm {
	int listeners[CONSOLES];
	struct console consoles[CONSOLES];
	pthread_t server;
	atomic_bool ends;
};

/* Answers all that it is asked, one after the other, but for those that hang. */
static void *serve(void *arg)
{
	struct farm *f = arg;
	static const char answer[] = "RFB 003.008\n\1\1\0\0\0\0";
	while (!atomic_load(&f->ends))
		for (size_t i = 0; i < CONSOLES; i++) {
			AUTOCLOSE int fd = accept4(f->listeners[i], NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				(void)!write(fd, answer, sizeof(answer) - 1);
			/* It reads what it is told, so that the end is none by force. */
			char told[64];
			for (int want = 13; fd >= 0 && want > 0;) {
				ssize_t n = read(fd, told, (size_t)want);
				if (n <= 0)
					break;
				want -= (int)n;
			}
		}
	return NULL;
}

static void listen_at(struct farm *f, size_t i)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	getsockname(fd, (struct sockaddr *)&to, &len);
	struct console *c = &f->consoles[i];
	*c = (struct console){ .kind = CONSOLE_VNC };
	c->socket = (struct host_socket){ .family = AF_INET, .port = ntohs(to.sin_port) };
	memcpy(&c->socket.address, &to.sin_addr, sizeof(to.sin_addr));
	bool hangs = i % HANG_EACH == 0;
	f->listeners[i] = hangs ? -1 : fd;
}

static void test_consoles_that_hang_hold_up_nobody(void **state)
{
	(void)state;
	static struct farm f;
	struct pool_job jobs[CONSOLES];
	for (size_t i = 0; i < CONSOLES; i++) {
		listen_at(&f, i);
		jobs[i] = (struct pool_job){ console_probe, &f.consoles[i] };
	}
	assert_int_equal(pthread_create(&f.server, NULL, serve, &f), 0);
	int64_t before = clock_ms();
	pool_run(jobs, CONSOLES, before + 3000);
	int64_t took = clock_ms() - before;
	atomic_store(&f.ends, true);
	pthread_join(f.server, NULL);
	for (size_t i = 0; i < CONSOLES; i++) {
		if (i % HANG_EACH == 0) {
			assert_int_equal(f.consoles[i].probed, -ETIMEDOUT);
			continue;
		}
		if (f.consoles[i].probed)
			fail_msg("console %zu: %s", i, f.consoles[i].why.message);
		assert_int_equal(f.consoles[i].rfb.end, RFB_CONSOLE);
	}
	/* One after the other those that hang would take a minute. */
	printf("# 200 consoles of which 20 hang: %d ms\n", (int)took);
	assert_true(took < 30000);
}

static void test_filter(void **state)
{
	(void)state;
	assert_false(filter_may_stop("", 16514));
	assert_false(filter_may_stop(
		"table ip t {\n\tchain i {\n\t\ttype filter hook input priority 0; policy accept;\n\t}\n}\n", 22));
	assert_true(filter_may_stop("\tchain i {\n\t\ttype filter hook input priority 0; policy drop;\n", 22));
	const char *rules = "\tchain i {\n\t\ttype filter hook input priority filter; policy accept;\n"
			    "\t\ttcp dport { 22, 5900-5999 } drop\n\t\ttcp dport 16514 accept\n"
			    "\t\ttcp dport 16509 ip saddr != 10.0.0.0/8 reject\n\t}\n";
	assert_true(filter_may_stop(rules, 5999));
	assert_true(filter_may_stop(rules, 16509));
	assert_false(filter_may_stop(rules, 6000));
	assert_false(filter_may_stop(rules, 16514));
	assert_false(filter_may_stop(rules, 599));
	assert_true(filter_may_stop(
		"\tchain i {\n\t\ttype filter hook input priority 0;\n\t\ttcp dport 22 accept\n\t\tdrop\n\t}\n", 5900));
	assert_false(filter_may_stop("\tchain f {\n\t\ttype filter hook forward priority 0;\n\t\tdrop\n\t}\n", 5900));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfb_answers),	cmocka_unit_test(test_rfb_lies),
		cmocka_unit_test(test_libvirt_answers), cmocka_unit_test(test_consoles_that_hang_hold_up_nobody),
		cmocka_unit_test(test_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
