#include "lib/posture/host/storage.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* LVM on dm-crypt on a disk: three, and some more. */
#define STACK_MAX 8

static bool is_crypt(const char *dir)
{
	char path[PATH_MAX], uuid[64] = "";
	snprintf(path, sizeof(path), "%s/dm/uuid", dir);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool is = fgets(uuid, sizeof(uuid), f) && !strncmp(uuid, "CRYPT-", 6);
	fclose(f);
	return is;
}

/* Every device that it lies on is encrypted. */
static bool all_below(const char *dir, int depth)
{
	if (is_crypt(dir))
		return true;
	char path[PATH_MAX], next[PATH_MAX + NAME_MAX + 2];
	snprintf(path, sizeof(path), "%s/slaves", dir);
	DIR *d = depth < STACK_MAX ? opendir(path) : NULL;
	size_t n = 0, encrypted = 0;
	for (const struct dirent *entry; d && (entry = readdir(d));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(next, sizeof(next), "%s/%s", path, entry->d_name);
		n++;
		encrypted += all_below(next, depth + 1);
	}
	if (d)
		closedir(d);
	return n && n == encrypted;
}

bool storage_device_is_encrypted(dev_t device)
{
	char dir[64], partition[80];
	snprintf(dir, sizeof(dir), "/sys/dev/block/%u:%u", major(device), minor(device));
	snprintf(partition, sizeof(partition), "%s/partition", dir);
	/* The disk of a partition has what it lies on. */
	if (access(partition, F_OK) == 0) {
		snprintf(partition, sizeof(partition), "%s/..", dir);
		return all_below(dir, 0) || all_below(partition, 0);
	}
	return all_below(dir, 0);
}

int storage_of(const char *path, enum storage *ret, struct error *e)
{
	struct stat st;
	struct statfs fs;
	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be looked at", path);
	if (S_ISBLK(st.st_mode))
		*ret = storage_device_is_encrypted(st.st_rdev) ? STORAGE_ENCRYPTED : STORAGE_PLAIN;
	else if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		*ret = STORAGE_MEMORY;
	else
		*ret = storage_device_is_encrypted(st.st_dev) ? STORAGE_ENCRYPTED : STORAGE_PLAIN;
	return 0;
}
