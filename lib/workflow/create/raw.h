/* The raw half of `create`: files and block devices with a LUKS header at their start or detached. */
#ifndef LIB_WORKFLOW_CREATE_RAW_H
#define LIB_WORKFLOW_CREATE_RAW_H

#include "base/file.h"
#include "lib/workflow/create/plan.h"
#include "lib/workflow/workflow.h"

/*
 * May this device be overwritten? ERROR_REFUSED names what is on it and the option that allows it;
 * ERROR_BUSY who uses it. Writes nothing.
 */
int create_raw_check_device(const struct create_plan *plan, struct error *e);

/* The state of `create`. */
struct create_state {
	struct create_plan plan;
	bool planned;
	struct luks *luks;		/* with integrity NULL until create_raw_build() has made it */
	struct file_new *file;		/* planned; NULL for a device */
	struct file_new *header;	/* planned; NULL without a detached one */
};

/*
 * Makes the volume of a record that is in the keystore, and proves it. The record's LUKS fields
 * and size are what came out. On failure a device has no header of ours, and nothing is mapped.
 */
int create_raw_build(struct flow *f, struct error *e);

/* The name of the mapping through which an integrity volume gets its tags. */
void create_raw_wipe_name(const struct record *r, char *buf, size_t len);

/* Ends the mapping through which an integrity volume got its first tags, if there is one. */
int create_raw_unmap(const struct record *r, struct error *e);

#endif
