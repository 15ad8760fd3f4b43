/* libdevmapper: what this program calls of it, loaded when the first of them is called. */
#include "base/lazy.h"

#include <libdevmapper.h>

static struct lazy_library library = { .file = "libdevmapper.so.1.02.1" };

#define F(...) LAZY_FUNCTION(library, __VA_ARGS__)
#define V(...) LAZY_VOID(library, __VA_ARGS__)
#define FREE(...) LAZY_FREE(library, __VA_ARGS__)

F(void *, dm_get_next_target, 6, struct dm_task *, void *, uint64_t *, uint64_t *, char **, char **)
V(dm_log_with_errno_init, 1, dm_log_with_errno_fn)
F(int, dm_task_add_target, 5, struct dm_task *, uint64_t, uint64_t, const char *, const char *)
F(struct dm_task *, dm_task_create, 1, int)
F(int, dm_task_deferred_remove, 1, struct dm_task *)
FREE(dm_task_destroy, struct dm_task *)
F(struct dm_deps *, dm_task_get_deps, 1, struct dm_task *)
F(int, dm_task_get_errno, 1, struct dm_task *)
F(int, dm_task_get_info, 2, struct dm_task *, struct dm_info *)
F(struct dm_names *, dm_task_get_names, 1, struct dm_task *)
F(const char *, dm_task_get_uuid, 1, const struct dm_task *)
F(int, dm_task_query_inactive_table, 1, struct dm_task *)
F(int, dm_task_run, 1, struct dm_task *)
F(int, dm_task_secure_data, 1, struct dm_task *)
F(int, dm_task_set_cookie, 3, struct dm_task *, uint32_t *, uint16_t)
F(int, dm_task_set_name, 2, struct dm_task *, const char *)
F(int, dm_task_set_ro, 1, struct dm_task *)
V(dm_task_update_nodes, 0)
F(int, dm_udev_wait, 1, uint32_t)
