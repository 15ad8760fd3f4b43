/* The QEMU of f->guest copies its disk onto another image and goes over to that: what move and a new volume key share.
 */
#ifndef LIB_WORKFLOW_LIVE_COPY_H
#define LIB_WORKFLOW_LIVE_COPY_H

#include "lib/workflow/workflow.h"

/* ERROR_FAILED/EOPNOTSUPP for an image of which QEMU would copy a part only. */
int live_copy_check(const struct container *c, const char *path, struct error *e);

struct live_copy {
	const char *to;			/* an image of the same size that exists */
	const char *doing;		/* for progress */
	void (*pivoting)(struct record *r);	/* notes that from here on the copy may be the newer one */
	const char *action;		/* as which that is stored */
};
/* To the pivot. On failure before it the guest keeps its disk. */
int live_copy_run(struct flow *f, const struct live_copy *c, struct error *e);

/* Of an interrupted one: does the guest, or its configuration, use `to`? Is it being copied to? */
int live_copy_look(struct flow *f, const char *to, bool *ret_used, bool *ret_copying, struct error *e);

#endif
