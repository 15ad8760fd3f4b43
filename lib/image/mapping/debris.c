/* What an interrupted command left in device-mapper. */
#include "lib/image/mapping/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

/* The name libcryptsetup gives to a mapping of its own for a moment, with a random UUID behind it. */
#define TEMPORARY "temporary-cryptsetup-"

static int remove_it(const char *name, bool deferred, struct error *e)
{
	uint32_t cookie = 0;
	AUTOTASK struct dm_task *t = dm_task_create(DM_DEVICE_REMOVE);
	if (!t || !dm_task_set_name(t, name) || !dm_task_set_cookie(t, &cookie, 0) ||
	    (deferred && !dm_task_deferred_remove(t)))
		return error_oom(e);
	int done = dm_task_run(t), err = dm_task_get_errno(t);
	dm_udev_wait(cookie);
	/* Nodes are made and removed when the library is told that a batch of changes is over. */
	dm_task_update_nodes();
	if (!done && err != ENXIO)
		return error_errno(e, err == EBUSY ? ERROR_BUSY : ERROR_FAILED, err ? err : EIO,
				   "cannot remove the mapping %s", name);
	return 0;
}

int mapping_remove(const char *name, struct error *e)
{
	return remove_it(name, false, e);
}

int mapping_remove_later(const char *name, struct error *e)
{
	return remove_it(name, true, e);
}

/* Is the device the data itself, or a loop device on it? */
static bool is_on(dev_t device, const char *data_path, const struct stat *data)
{
	char path[64], backing[PATH_MAX];
	if (S_ISBLK(data->st_mode))
		return data->st_rdev == device;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop/backing_file", major(device), minor(device));
	FILE *f = fopen(path, "re");
	bool found = f && fgets(backing, sizeof(backing), f);
	if (f)
		fclose(f);
	if (!found)
		return false;
	backing[strcspn(backing, "\n")] = 0;
	return !strcmp(backing, data_path);
}

static bool deps_on(const char *name, bool inactive, const char *data_path, const struct stat *data)
{
	AUTOTASK struct dm_task *t = dm_task_create(DM_DEVICE_DEPS);
	if (!t || !dm_task_set_name(t, name) || (inactive && !dm_task_query_inactive_table(t)) || !dm_task_run(t))
		return false;
	const struct dm_deps *deps = dm_task_get_deps(t);
	for (uint32_t i = 0; deps && i < deps->count; i++)
		if (is_on(deps->device[i], data_path, data))
			return true;
	return false;
}

/* Has it no table at all, so that nothing tells what it was to be? */
static bool is_empty(const char *name)
{
	struct dm_info info;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_INFO, name);
	return t && dm_task_get_info(t, &info) && info.exists && !info.live_table && !info.inactive_table;
}

/*
 * A device that has no table yet may be another cryptsetup's of this very moment: between creating
 * and loading it has microseconds. One that is still empty after a second belongs to nobody.
 */
static bool stays_empty(const char *name)
{
	if (!is_empty(name))
		return false;
	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	return is_empty(name);
}

int mapping_remove_temporary(const char *data_path, struct error *e)
{
	struct stat data;
	int r = 0;
	if (stat(data_path, &data) < 0)
		return 0;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_LIST, NULL);
	const struct dm_names *n = t ? dm_task_get_names(t) : NULL;
	while (n && n->dev && r == 0) {
		if (!strncmp(n->name, TEMPORARY, strlen(TEMPORARY)) &&
		    (deps_on(n->name, false, data_path, &data) || deps_on(n->name, true, data_path, &data) ||
		     stays_empty(n->name)))
			r = mapping_remove(n->name, e);
		n = n->next ? (const void *)((const char *)n + n->next) : NULL;
	}
	return r;
}
