/*
 * What `kvmcrypt check` does: the table of checks, each of which looks at a host and its guests, and what it found.
 * Nothing here changes the host, asks a guest's monitor or taints a guest.
 */
#ifndef LIB_POSTURE_POSTURE_H
#define LIB_POSTURE_POSTURE_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In order of how bad it is. That something could not be looked at is never a pass. */
enum posture_verdict {
	POSTURE_NOT_APPLICABLE,
	POSTURE_PASS,
	POSTURE_UNKNOWN,
	POSTURE_WARN,
	POSTURE_FAIL,
};
#define POSTURE_VERDICTS (POSTURE_FAIL + 1)

/* "not_applicable", "pass", … as JSON shows it. */
const char *posture_verdict_name(enum posture_verdict v);

/* Where it was seen: in a file or libvirt's configuration, or in the live process, socket or kernel. */
enum posture_side {
	POSTURE_CONFIGURED,
	POSTURE_RUNNING,
};

/* One thing that was looked at. */
struct posture_note {
	enum posture_verdict verdict;
	enum posture_side side;
	char *subject; /* "domain web", "/etc/libvirt/qemu.conf" */
	char *text;    /* "runs as root"; one line, printable */
	bool waived;   /* by a line of check.conf; then it does not count */
};

struct posture_look;

struct posture_check {
	const char *id;	   /* "process.user": its topic is what stands before the point */
	const char *title; /* what holds when it passes: "guests run as a user of their own" */
	const char *why;   /* one sentence: what an attacker gains where it does not */
	const char *mend;  /* what mends it, for a person */
	void (*look)(struct posture_look *l);
};

struct posture_finding {
	const struct posture_check *check;
	enum posture_verdict verdict; /* the worst of its notes that are not waived; not applicable without any */
	struct posture_note *notes;
	size_t n;
	char *waiver; /* the reason why notes are waived; NULL: none is */
};

struct posture_report {
	struct posture_finding *findings; /* in the order of the table */
	size_t n;
	size_t count[POSTURE_VERDICTS]; /* findings of each verdict */
	char no_waivers[1024]; /* why check.conf could not be read; "" where it was, or is not there */
	char no_libvirt[1024];		/* why libvirt could not be asked; "" where it was, or need not be */
};
void posture_report_clear(struct posture_report *r);
#define AUTOPOSTURE CLEANUP(posture_report_clear)

struct posture_params {
	const char *root;      /* the file system of a host that does not run; NULL: this host as it runs */
	const char *connect;   /* libvirt's URI; NULL: its default */
	const char *domain;    /* only this guest; NULL: all */
	const char *keystore;  /* path; may be absent or sealed */
	const char *waivers;   /* a file in the place of check.conf; NULL: that one */
	uint32_t network;      /* interface index of the management network; 0: that of the default route */
	unsigned milliseconds; /* for all that waits for somebody else; 0: 3,000 */
	char *const *which;    /* topics and ids; none: all */
	size_t n_which;
};

/*
 * Looks. What cannot be looked at is a note of its own. ERROR_USAGE: no such topic or id; ERROR_NOT_FOUND: no such
 * domain; ERROR_FAILED: check.conf cannot be read or says what is none of its lines. The caller clears *ret.
 */
int posture_run(const struct posture_params *p, struct posture_report *ret, struct error *e);

/* The check number i of the table, which is in order of topics; NULL behind the last. */
const struct posture_check *posture_check_at(size_t i);

/* What stands before the point of an id. buf of 32 bytes is enough. */
const char *posture_topic(const char *id, char *buf, size_t len);

/* The heading of a topic for a person, by its name: "Guests are processes". */
const char *posture_topic_title(const char *topic);

#endif
