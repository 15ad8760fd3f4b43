/* libdevmapper: what this program calls of it. */
#include "base/library/define.h"

#include <errno.h>
#include <libdevmapper.h>

#define FAILS ENOSYS

#define FUNCTIONS(F, Z, V, FREE) \
	Z(void *, dm_get_next_target, 6, struct dm_task *, void *, uint64_t *, uint64_t *, char **, char **) \
	V(dm_log_with_errno_init, 1, dm_log_with_errno_fn) \
	Z(int, dm_task_add_target, 5, struct dm_task *, uint64_t, uint64_t, const char *, const char *) \
	Z(struct dm_task *, dm_task_create, 1, int) \
	Z(int, dm_task_deferred_remove, 1, struct dm_task *) \
	FREE(dm_task_destroy, struct dm_task *) \
	Z(struct dm_deps *, dm_task_get_deps, 1, struct dm_task *) \
	F(int, dm_task_get_errno, 1, struct dm_task *) \
	Z(int, dm_task_get_info, 2, struct dm_task *, struct dm_info *) \
	Z(struct dm_names *, dm_task_get_names, 1, struct dm_task *) \
	Z(const char *, dm_task_get_uuid, 1, const struct dm_task *) \
	Z(int, dm_task_query_inactive_table, 1, struct dm_task *) \
	Z(int, dm_task_run, 1, struct dm_task *) \
	Z(int, dm_task_secure_data, 1, struct dm_task *) \
	Z(int, dm_task_set_cookie, 3, struct dm_task *, uint32_t *, uint16_t) \
	Z(int, dm_task_set_name, 2, struct dm_task *, const char *) \
	Z(int, dm_task_set_ro, 1, struct dm_task *) \
	V(dm_task_update_nodes, 0) \
	Z(int, dm_udev_wait, 1, uint32_t)

/* An older one fills a shorter struct dm_info. */
static const struct library_version versions[] = { { "dm_task_get_info", "DM_1_02_97" }, { 0 } };

LIBRARY(devmapper_load, "libdevmapper", "libdevmapper1.02.1", ERROR_FAILED, FUNCTIONS, versions,
	"libdevmapper.so.1.02.1")
LIBRARY_NOTE("devmapper", "Which mappings there are", "required", "\"libdevmapper.so.1.02.1\"")
