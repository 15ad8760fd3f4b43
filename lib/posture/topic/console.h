/* The checks of topic "console" that have files of their own, and what they share. */
#ifndef LIB_POSTURE_TOPIC_CONSOLE_H
#define LIB_POSTURE_TOPIC_CONSOLE_H

#include "lib/posture/host/probe.h"
#include "lib/posture/look.h"

/* What qemu.conf has for consoles of guests that start from now on. */
struct console_conf {
	long tls, verify, sasl, auto_unix;
	char listen[64];
};
/* False, and noted: it cannot be read. */
bool console_conf_read(struct posture_look *l, struct console_conf *ret);

/* Does any guest have a VNC console, or is it not known which guests there are? */
bool console_is_used(struct posture_look *l);

/* Is it an address that only this host reaches? */
bool console_is_loopback(const char *address);

/*
 * The consoles that guests have now, each in turn, NULL behind the last; where none can be seen that is noted as
 * unknown once, where the host runs. Those of `kind` only, and with those that could not be probed.
 */
const struct console *console_next(struct posture_look *l, enum console_kind kind, const struct console *after);
/* Of any kind. */
const struct console *console_next_any(struct posture_look *l, const struct console *after);

/* Notes what was seen at a console that is there: "domain NAME: 0.0.0.0:5900 …". */
void console_note(struct posture_look *l, enum posture_verdict v, const struct console *c, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* One that does not answer is noted as unknown; true: it answered. */
bool console_answered(struct posture_look *l, const struct console *c);

/* From where it can be reached. A UNIX socket: from this host. */
enum reach console_reach(const struct console *c);

/* Does it let in only who has a certificate, or says by SASL within TLS who he is? */
bool console_is_guarded(const struct console *c);

void console_look_certificate(struct posture_look *l);
void console_look_served(struct posture_look *l);
void console_look_ports(struct posture_look *l);
void console_look_password(struct posture_look *l);
void console_look_websocket(struct posture_look *l);
void console_look_serial(struct posture_look *l);

#endif
