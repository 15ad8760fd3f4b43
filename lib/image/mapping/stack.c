#include "lib/image/mapping/stack.h"
#include "lib/image/mapping/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* In the order in which they can be removed. */
static const char *const helpers[] = { "overlay", "hotzone-forward", "hotzone-backward" };

/* The name in /dev, which the kernel knows also where nobody makes links for it. */
static int device_path(dev_t device, char *buf, size_t len, struct error *e)
{
	char path[64], line[128];
	bool found = false;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(device), minor(device));
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		found = !strncmp(line, "DEVNAME=", 8);
	}
	if (f)
		fclose(f);
	if (!found)
		return error_set(e, ERROR_FAILED, ENODEV, "cannot find the device %u:%u", major(device), minor(device));
	snprintf(buf, len, "/dev/%s", line + 8);
	return 0;
}

int mapping_data_device(const char *name, char *buf, size_t len, struct error *e)
{
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_DEPS, name);
	const struct dm_deps *deps = t ? dm_task_get_deps(t) : NULL;
	if (!deps || deps->count != 1)
		return error_set(e, ERROR_FAILED, EINVAL, "mapping %s is not on one device", name);
	return device_path((dev_t)deps->device[0], buf, len, e);
}

bool mapping_is_stacked(const char *name)
{
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_TABLE, name);
	uint64_t start = 0, length = 0;
	char *type = NULL, *params = NULL;
	if (!t)
		return false;
	dm_get_next_target(t, NULL, &start, &length, &type, &params);
	return type && !strcmp(type, "linear");
}

int mapping_remove_helpers(const char *name, struct error *e)
{
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(helpers) && r == 0; i++) {
		char helper[MAPPING_NAME_LEN + 32];
		snprintf(helper, sizeof(helper), "%s-%s", name, helpers[i]);
		if (mapping_name_taken(helper))
			r = mapping_remove(helper, e);
	}
	return r;
}

int mapping_remove_stack(const char *name, struct error *e)
{
	int r = mapping_remove(name, e);
	return r < 0 ? r : mapping_remove_helpers(name, e);
}

/* libcryptsetup's dm UUIDs of helpers: CRYPT-SUBDEV-<32 digits>-<name>. */
static bool is_helper(const char *name, const uuid_t luks_uuid, const char *suffix)
{
	char text[UUID_STR_LEN], want[64] = "CRYPT-SUBDEV-";
	size_t len = strlen(name), n = strlen(suffix), at = strlen(want);
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_INFO, name);
	uuid_unparse_lower(luks_uuid, text);
	for (const char *c = text; *c; c++)
		if (*c != '-')
			want[at++] = *c;
	want[at++] = '-';
	return t && !strncmp(dm_task_get_uuid(t), want, at) && len > n && !strcmp(name + len - n, suffix);
}

int mapping_remove_orphans(const uuid_t luks_uuid, struct error *e)
{
	int r = 0;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_LIST, NULL);
	for (size_t i = 0; i < ARRAY_LEN(helpers); i++) {
		const struct dm_names *n = t ? dm_task_get_names(t) : NULL;
		while (n && n->dev && r == 0) {
			if (is_helper(n->name, luks_uuid, helpers[i]))
				r = mapping_remove(n->name, e);
			n = n->next ? (const void *)((const char *)n + n->next) : NULL;
		}
	}
	return r;
}
