/* What `create` is to make: its parameters with defaults filled in and checked, before anything is done. */
#ifndef LIB_WORKFLOW_CREATE_PLAN_H
#define LIB_WORKFLOW_CREATE_PLAN_H

#include "lib/volume/volume.h"

struct create_plan {
	struct volume_create p;
	char *path;			/* canonical; owned */
	char *backing;			/* canonical; owned, or NULL */
	const char *backing_format;	/* as the qcow2 header names it */
	bool device;			/* path is a block device */
	char *header;			/* canonical; owned, or NULL */
	const char *integrity;		/* as libcryptsetup names it: "hmac(sha256)", "aead" */
	char label[48];			/* of a LUKS2 header: what lsblk shows */
};

/* In create_plan_luks.c: version, cipher, key, sector size, integrity, header of the plan. */
int create_plan_luks(struct create_plan *plan, struct error *e);

/* What luks_format() is to make; volume_key and uuid are for the caller to add. */
struct luks_params create_plan_params(const struct create_plan *plan);

/* Where the data begins in the container that has it. */
uint64_t create_plan_data_offset(const struct create_plan *plan);

/* ERROR_USAGE for what cannot be; reads the backing file, writes nothing. */
int create_plan_make(const struct volume_create *p, struct create_plan *ret, struct error *e);
void create_plan_clear(struct create_plan *plan);

/* For --if-absent: is this record's volume what the plan would make? ERROR_EXISTS names what differs. */
int create_plan_check_same(const struct create_plan *plan, const struct record *r, struct error *e);

#endif
