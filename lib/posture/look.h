/* What a check works with: the host, and its notes. A topic is a file in topic/ and its table below. */
#ifndef LIB_POSTURE_LOOK_H
#define LIB_POSTURE_LOOK_H

#include "lib/guest/xml.h"
#include "lib/posture/host/host.h"
#include "lib/posture/posture.h"

struct posture_look {
	struct host *host;
	struct posture_finding *finding;
	bool out_of_memory;
};

/* Adds what was seen. `subject` is what it was seen at; the text is made printable. */
void note(struct posture_look *l, enum posture_verdict v, enum posture_side side, const char *subject, const char *fmt,
	  ...) __attribute__((format(printf, 5, 6)));

/* It could not be looked at, and why. */
void note_unknown(struct posture_look *l, enum posture_side side, const char *subject, const struct error *e);

/* Short forms of the most common ones. */
#define NOTE_RUNNING(l, v, g, ...) note(l, v, POSTURE_RUNNING, (g)->subject, __VA_ARGS__)
#define NOTE_CONFIGURED(l, v, subject, ...) note(l, v, POSTURE_CONFIGURED, subject, __VA_ARGS__)

/*
 * The guests that run, for checks that look into their processes: each one in turn, whose process can be seen. One
 * whose process cannot be seen is noted as unknown, and why; without libvirt that is said once.
 */
struct host_guest *look_next_process(struct posture_look *l, struct host_guest *after);

/* The guests that are defined or run; without libvirt that is noted as unknown, once. */
struct host_guest *look_next_guest(struct posture_look *l, struct host_guest *after);

/*
 * A number of one of libvirt's files: what `key` is set to, or `otherwise`, libvirt's own default. False, and noted as
 * unknown, when the file cannot be read.
 */
bool look_conf_number(struct posture_look *l, enum host_conf file, const char *key, long otherwise, long *ret);

/* A text likewise; NULL where it is not set. The caller frees *ret. */
bool look_conf_text(struct posture_look *l, enum host_conf file, const char *key, char **ret);

/* How many entries the list `key` has; `otherwise` where it is not set. */
bool look_conf_count(struct posture_look *l, enum host_conf file, const char *key, long otherwise, long *ret);

/*
 * The nodes of a guest's document (which may be NULL: none) that an XPath names. The caller clears *ret. False, and
 * noted as unknown: out of memory.
 */
bool look_nodes(struct posture_look *l, const struct host_guest *g, xmlDocPtr doc, const char *expression,
		struct guest_xml *ret);
/* How many they are. */
size_t look_count(struct posture_look *l, const struct host_guest *g, xmlDocPtr doc, const char *expression);

/* What a guest is: as it runs, or else as it is defined. */
static inline xmlDocPtr look_document(const struct host_guest *g)
{
	return g->live ? g->live : g->config;
}

/* Tables of the topics, each ended by an entry without id. */
extern const struct posture_check posture_process[];
extern const struct posture_check posture_management[];
extern const struct posture_check posture_console[];
extern const struct posture_check posture_network[];
extern const struct posture_check posture_mac[];
extern const struct posture_check posture_audit[];
extern const struct posture_check posture_rest[];

#endif
