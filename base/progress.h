/* How long work reports itself: a callback that the terminal layer draws, or NULL. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdint.h>

struct progress {
	/* done and total in bytes; called often, so the receiver limits its own rate.
	 * A non-zero result asks the work to stop with ERROR_FAILED/ECANCELED. */
	int (*report)(void *context, const char *what, uint64_t done, uint64_t total);
	void *context;
};

static inline int progress_report(const struct progress *p, const char *what, uint64_t done,
				  uint64_t total)
{
	return p && p->report ? p->report(p->context, what, done, total) : 0;
}

#endif
