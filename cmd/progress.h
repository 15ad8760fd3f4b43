/* Draws struct progress on stderr: a bar on a terminal, JSON lines with --progress json. */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include "cmd/command.h"

void progress_setup(struct context *ctx);
/* Ends a line that a bar has begun. */
void progress_finish(void);

#endif
