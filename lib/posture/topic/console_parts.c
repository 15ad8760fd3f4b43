/* What the checks of topic "console" share: the consoles one by one, and qemu.conf. */
#include "lib/posture/topic/certificate.h"
#include "lib/posture/topic/console.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool console_conf_read(struct posture_look *l, struct console_conf *ret)
{
	long inherited;
	return look_conf_number(l, HOST_CONF_QEMU, "vnc_tls", 0, &ret->tls) &&
	       look_conf_number(l, HOST_CONF_QEMU, "default_tls_x509_verify", 0, &inherited) &&
	       look_conf_number(l, HOST_CONF_QEMU, "vnc_tls_x509_verify", inherited, &ret->verify) &&
	       look_conf_number(l, HOST_CONF_QEMU, "vnc_sasl", 0, &ret->sasl) &&
	       look_conf_number(l, HOST_CONF_QEMU, "vnc_auto_unix_socket", 0, &ret->auto_unix) &&
	       certificate_conf(l, HOST_CONF_QEMU, "vnc_listen", "127.0.0.1", ret->listen, sizeof(ret->listen));
}

bool console_is_used(struct posture_look *l)
{
	if (!l->host->running || !l->host->g)
		return true;
	for (size_t i = 0; i < l->host->n; i++) {
		const struct host_guest *g = &l->host->guests[i];
		if (look_count(l, g, g->config, "/domain/devices/graphics[@type='vnc']") ||
		    look_count(l, g, g->live, "/domain/devices/graphics[@type='vnc']"))
			return true;
	}
	return false;
}

bool console_is_loopback(const char *address)
{
	struct in_addr four;
	if (inet_pton(AF_INET, address, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return !strcmp(address, "::1") || !strcmp(address, "localhost");
}

const struct console *console_next_any(struct posture_look *l, const struct console *after)
{
	if (!l->host->running)
		return NULL;
	const struct host_probes *p = host_probe(l->host);
	if (!p)
		l->out_of_memory = true;
	if (p && p->sockets < 0 && !after)
		note_unknown(l, POSTURE_RUNNING, "consoles", &p->no_sockets);
	else if (p && !l->host->g && !after)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, "consoles", "libvirt cannot be asked for guests");
	if (!p || !p->consoles.n)
		return NULL;
	return !after ? p->consoles.list : after + 1 < p->consoles.list + p->consoles.n ? after + 1 : NULL;
}

const struct console *console_next(struct posture_look *l, enum console_kind kind, const struct console *after)
{
	const struct console *c = console_next_any(l, after);
	while (c && c->kind != kind)
		c = console_next_any(l, c);
	return c;
}

void console_note(struct posture_look *l, enum posture_verdict v, const struct console *c, const char *fmt, ...)
{
	char text[384];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	NOTE_RUNNING(l, v, c->guest, "%s %s", c->where, text);
}

bool console_answered(struct posture_look *l, const struct console *c)
{
	if (c->probed == 0)
		return true;
	console_note(l, POSTURE_UNKNOWN, c, "tells nothing: %s", c->why.message);
	return false;
}

enum reach console_reach(const struct console *c)
{
	return *c->path ? REACH_LOOPBACK : socket_reach(&c->socket);
}

bool console_is_guarded(const struct console *c)
{
	const struct rfb_seen *s = &c->rfb;
	if (c->probed < 0 || !s->tls.done)
		return false;
	return s->end == RFB_CUT_OFF || (s->end == RFB_ASKS && rfb_has_subtype(s, RFB_X509_SASL, RFB_X509_SASL));
}
