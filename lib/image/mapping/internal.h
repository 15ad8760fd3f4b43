/* What the files of the mapping part share. */
#ifndef LIB_IMAGE_MAPPING_INTERNAL_H
#define LIB_IMAGE_MAPPING_INTERNAL_H

#include "lib/image/mapping/mapping.h"

#include <libdevmapper.h>

static inline void mapping_task_freep(struct dm_task **t)
{
	if (*t)
		dm_task_destroy(*t);
}
#define AUTOTASK CLEANUP(mapping_task_freep)

/* A task on the device of that name (NULL: on all), run. NULL with errno set on failure. */
struct dm_task *mapping_run(int type, const char *name);

/* Loads the mapping's table anew with another length in bytes, unseen by udev's scanners. */
int mapping_set_length(const char *name, uint64_t size, struct error *e);

#endif
