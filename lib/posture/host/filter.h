/* The host's packet filter, as `nft list ruleset` shows it. */
#ifndef LIB_POSTURE_HOST_FILTER_H
#define LIB_POSTURE_HOST_FILTER_H

#include <stdbool.h>

/*
 * Is there anything in it that could stop somebody from elsewhere at this TCP port of the host: a chain at the input
 * hook that drops what no rule takes, or a rule that drops or rejects the port? Whom it stops is not told.
 */
bool filter_may_stop(const char *ruleset, unsigned port);

#endif
