/* Growing a volume with dm-integrity: every new sector needs its tag before it can be read. */
#ifndef LIB_WORKFLOW_RESIZE_INTEGRITY_H
#define LIB_WORKFLOW_RESIZE_INTEGRITY_H

#include "lib/volume/mapped.h"
#include "lib/workflow/resize.h"

/* May it become p->size, from now? Says why not, and what to do. m: its mapping, name "" for none. */
int resize_integrity_check(const struct record *r, const struct volume_resize *p, uint64_t now,
			   const struct volume_mapping *m, struct error *e);

/*
 * The file, the superblock and the new sectors' tags. r is revealed and RECORD_RESIZING, its size is
 * the old one. On failure it is as large as before.
 */
int resize_integrity(const struct volume_env *env, const struct record *r, const struct volume_resize *p,
		     struct error *e);

/* Back to the size of the record, in which every sector has its tag: for a resize that was interrupted. */
int resize_integrity_undo(const struct record *r, struct error *e);

#endif
