/* What the engine's two files share. */
#ifndef LIB_WORKFLOW_INTERNAL_H
#define LIB_WORKFLOW_INTERNAL_H

#include "lib/workflow/workflow.h"

/* A flow's state for its workflow, zeroed; flow_end() clears and frees it, not the record. */
int flow_begin(struct flow *f, const struct workflow *w, struct error *e);
void flow_end(struct flow *f);

/* The number that comes next where a step has left it as it was; 0: READY. */
void flow_leave(struct flow *f, uint32_t next);

/* The step, if the workflow has it. */
int flow_do(struct flow *f, flow_step step, struct error *e);

/* Stores the record, or its end, as the workflow's name with this behind it. */
int flow_store_as(struct flow *f, const char *suffix, struct error *e);

/* act, prove, commit, store: what run and a verdict of RESUME have in common. */
int flow_act(struct flow *f, struct error *e);

/* commit() and what it stores. */
int flow_commit(struct flow *f, struct error *e);

/* From the commit on, through every workflow that the record passes on its way, to READY. */
int flow_finish(struct flow *f, struct error *e);

/* ---- others.c ---- */

/* The volume and those that workflow->others() names, in the order of their UUIDs. */
int flow_hold(struct flow *f, const uuid_t volume, struct volume_hold *h, struct error *e);
/* Those alone, of a volume that is held: ERROR_BUSY where another process has one, lest both wait for each other. */
int flow_hold_others(struct flow *f, struct error *e);
void flow_release_others(struct flow *f);
/* The record, and the others that were changed, into the store in one transaction. */
int flow_apply(struct flow *f, const char *action, const char *detail, struct error *e);

#endif
