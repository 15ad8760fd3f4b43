/*
 * A mapping's table with another length. crypt_resize() would do, but it resumes the device without
 * the private flag, and udev and LVM then look at what a guest wrote.
 */
#include "lib/image/mapping/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNSEEN \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG)

static int load(const char *name, uint64_t size, struct error *e)
{
	AUTOTASK struct dm_task *now = mapping_run(DM_DEVICE_TABLE, name);
	struct dm_info info;
	uint64_t start = 0, length = 0;
	char *type = NULL, *params = NULL;
	if (!now || !dm_task_get_info(now, &info))
		return error_errno(e, ERROR_FAILED, errno, "cannot read the mapping %s", name);
	void *more = dm_get_next_target(now, NULL, &start, &length, &type, &params);
	if (more || start || !type || strcmp(type, "crypt") || !params)
		return error_set(e, ERROR_FAILED, EINVAL, "mapping %s is no dm-crypt mapping", name);
	AUTOTASK struct dm_task *t = dm_task_create(DM_DEVICE_RELOAD);
	if (!t || !dm_task_set_name(t, name) || !dm_task_secure_data(t) ||
	    (info.read_only && !dm_task_set_ro(t)) || !dm_task_add_target(t, 0, size / 512, type, params))
		return error_oom(e);
	if (!dm_task_run(t))
		return error_errno(e, ERROR_FAILED, dm_task_get_errno(t), "cannot load a new table for %s", name);
	return 0;
}

int mapping_set_length(const char *name, uint64_t size, struct error *e)
{
	uint32_t cookie = 0;
	int r = load(name, size, e);
	if (r < 0)
		return r;
	AUTOTASK struct dm_task *t = dm_task_create(DM_DEVICE_RESUME);
	if (!t || !dm_task_set_name(t, name) || !dm_task_set_cookie(t, &cookie, UNSEEN))
		return error_oom(e);
	int done = dm_task_run(t), err = dm_task_get_errno(t);
	dm_udev_wait(cookie);
	dm_task_update_nodes();
	return done ? 0 : error_errno(e, ERROR_FAILED, err ? err : EIO, "cannot resize %s", name);
}
