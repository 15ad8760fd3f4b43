/*
 * What `kvmcrypt harden` does: writes what mends findings of `kvmcrypt check`, keeps what was there, and takes all of
 * it back. It restarts neither a daemon nor a guest, so what it writes is in force from different moments on.
 */
#ifndef LIB_POSTURE_HARDEN_HARDEN_H
#define LIB_POSTURE_HARDEN_HARDEN_H

#include "base/cleanup.h"
#include "base/error.h"
#include "lib/posture/posture.h"

#include <stdbool.h>
#include <stddef.h>

enum harden_when {
	HARDEN_NOW,    /* in force */
	HARDEN_RELOAD, /* when the service named in the change is reloaded or started anew */
	HARDEN_DAEMON, /* when libvirt's daemon starts anew; ephemeral secrets end with it (`kvmcrypt load`) */
	HARDEN_GUEST,  /* when the daemon has started anew, at each guest's next start */
};

struct harden_change {
	const struct posture_check *check; /* that it mends; NULL: of an undo */
	enum harden_when when;
	char *path; /* of the file, or of the kernel's parameter */
	char *what; /* "max_core = 0", "written", "put back" */
};

struct harden_report {
	struct harden_change *changes;
	size_t n;
	/* What a person has to mend: findings that fail or warn and have no fix here. */
	const struct posture_check **left;
	size_t n_left;
};
void harden_report_clear(struct harden_report *r);
#define AUTOHARDEN CLEANUP(harden_report_clear)

struct harden_params {
	const char *root; /* the file system of a host that does not run; NULL: this host */
	const char *connect, *keystore;
	char *const *which; /* topics and ids; none: all */
	size_t n_which;
	bool dry_run;
};

/*
 * Looks, and mends what does not pass. What was there is kept beside each file (FILE.kvmcrypt-orig) and noted in
 * /etc/kvmcrypt/harden.json before anything is replaced. On failure what was changed until then stays, noted, and *ret
 * tells of it.
 */
int harden_run(const struct harden_params *p, struct harden_report *ret, struct error *e);

/*
 * Takes back all that harden_run() wrote. ERROR_REFUSED, and nothing changed: a file is no longer as it was written, so
 * somebody's change would be lost.
 */
int harden_undo(const char *root, bool dry_run, struct harden_report *ret, struct error *e);

#endif
