/* Consoles beside VNC's own port: websockets, serial ports; and which ports there may be. */
#include "lib/posture/host/filter.h"
#include "lib/posture/topic/console.h"

#include <stdio.h>
#include <string.h>

void console_look_websocket(struct posture_look *l)
{
	for (const struct console *c = console_next(l, CONSOLE_WEBSOCKET, NULL); c;
	     c = console_next(l, CONSOLE_WEBSOCKET, c)) {
		if (!console_answered(l, c))
			continue;
		bool here = console_reach(c) == REACH_LOOPBACK;
		if (c->tls.done)
			console_note(l, POSTURE_PASS, c, "speaks %s", c->tls.protocol);
		else
			console_note(l, here ? POSTURE_WARN : POSTURE_FAIL, c, "speaks HTTP in plain%s",
				     here ? ", to this host" : "");
	}
	for (struct host_guest *g = l->host->n ? l->host->guests : NULL; g && g < l->host->guests + l->host->n; g++) {
		long tls;
		if (look_count(l, g, g->config, "/domain/devices/graphics[@websocket and @websocket != '0']") &&
		    look_conf_number(l, HOST_CONF_QEMU, "vnc_tls", 0, &tls))
			NOTE_CONFIGURED(l, tls ? POSTURE_PASS : POSTURE_WARN, g->subject,
					"has a websocket, with vnc_tls = %ld", tls);
	}
}

/* Is a character device of QEMU's at that port one with TLS? By what QEMU was told. */
static bool is_told_tls(const struct host_guest *g, const char *port)
{
	char text[64], json[64];
	const char *device;
	snprintf(text, sizeof(text), "port=%s,", port);
	snprintf(json, sizeof(json), "\"port\":\"%s\"", port);
	for (unsigned i = 0; (device = proc_argument(&g->proc, "-chardev", i)); i++)
		if ((strstr(device, text) || strstr(device, json)) && strstr(device, "tls-creds"))
			return true;
	return false;
}

struct serial {
	const struct host_guest *guest;
	enum posture_side side;
	long chardev_tls;
};

static void look_source(struct posture_look *l, const struct serial *s, xmlNodePtr device, xmlNodePtr source)
{
	char host[256], service[32], type[16];
	guest_xml_copy(device, "type", type, sizeof(type));
	guest_xml_copy(source, "host", host, sizeof(host));
	guest_xml_copy(source, "service", service, sizeof(service));
	/* What is running tells by its arguments; what is configured by its own word or the host's. */
	bool tls = guest_xml_is(source, "tls", "yes") ||
		   (s->side == POSTURE_RUNNING ? s->guest->proc.fd >= 0 && is_told_tls(s->guest, service)
					       : s->chardev_tls && !guest_xml_is(source, "tls", "no"));
	tls = tls && strcmp(type, "udp") != 0;
	bool here = console_is_loopback(*host ? host : "127.0.0.1");
	note(l,
	     tls    ? POSTURE_PASS
	     : here ? POSTURE_WARN
		    : POSTURE_FAIL,
	     s->side, s->guest->subject, "%s by %s %s %s:%s%s", (const char *)device->name, type,
	     guest_xml_is(source, "mode", "connect") ? "to" : "at", *host ? host : "127.0.0.1", service,
	     tls ? ", with TLS" : ", in plain");
}

static size_t look_devices(struct posture_look *l, const struct serial *s, xmlDocPtr doc)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	/* A console that is the first serial port once more is that one. */
	if (!look_nodes(l, s->guest, doc,
			"/domain/devices/*[self::serial or self::parallel or self::channel or "
			"(self::console and not(target/@type = 'serial'))][@type = 'tcp' or @type = 'udp']/source",
			&x))
		return 0;
	size_t n = doc ? guest_xml_count(&x) : 0;
	for (size_t i = 0; i < n; i++) {
		xmlNodePtr source = guest_xml_node(&x, i);
		/* UDP has two: whereto, and where it is bound. */
		look_source(l, s, source->parent, source);
	}
	return n;
}

void console_look_serial(struct posture_look *l)
{
	long tls = 0;
	if (!look_conf_number(l, HOST_CONF_QEMU, "chardev_tls", 0, &tls))
		return;
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		struct serial running = { .guest = g, .side = POSTURE_RUNNING };
		struct serial configured = { .guest = g, .side = POSTURE_CONFIGURED, .chardev_tls = tls };
		size_t n = look_devices(l, &running, g->live) + look_devices(l, &configured, g->config);
		if (!n)
			NOTE_CONFIGURED(l, POSTURE_PASS, g->subject, "no port of it goes over the network");
	}
}

#define PORTS_FIRST 5900
#define PORTS_LAST 65535

void console_look_ports(struct posture_look *l)
{
	const char *file = host_conf_path(HOST_CONF_QEMU);
	long first, last;
	if (!look_conf_number(l, HOST_CONF_QEMU, "remote_display_port_min", PORTS_FIRST, &first) ||
	    !look_conf_number(l, HOST_CONF_QEMU, "remote_display_port_max", PORTS_LAST, &last))
		return;
	bool elsewhere = false;
	for (const struct console *c = console_next_any(l, NULL); c; c = console_next_any(l, c)) {
		const struct host_probes *p = host_probe(l->host);
		long port = c->socket.port;
		if (*c->path || !port || c->kind == CONSOLE_OTHER || console_reach(c) == REACH_LOOPBACK)
			continue;
		elsewhere = true;
		if (c->kind != CONSOLE_WEBSOCKET && (port < first || port > last))
			console_note(l, POSTURE_WARN, c, "is not in the range %ld to %ld of qemu.conf", first, last);
		else if (!p->ruleset)
			console_note(l, POSTURE_UNKNOWN, c,
				     "is reached from elsewhere; the host's filter is not known");
		else
			console_note(l, filter_may_stop(p->ruleset, c->socket.port) ? POSTURE_PASS : POSTURE_WARN, c,
				     filter_may_stop(p->ruleset, c->socket.port)
					     ? "is reached from elsewhere; a filter of this host has rules for it"
					     : "is reached from elsewhere, and no filter of this host stops anybody");
	}
	bool wide = first == PORTS_FIRST && last == PORTS_LAST;
	NOTE_CONFIGURED(l, elsewhere && wide ? POSTURE_WARN : POSTURE_PASS, file, "consoles' ports: %ld to %ld%s",
			first, last, elsewhere && wide ? ", which no filter can be made for" : "");
}
