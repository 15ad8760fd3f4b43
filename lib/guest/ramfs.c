#include "lib/guest/ramfs.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int ramfs_new(mode_t mode, const char *label, int *ret, struct error *e)
{
	char text[16];
	snprintf(text, sizeof(text), "%04o", (unsigned)(mode & 07777));
	AUTOCLOSE int fs = fsopen("ramfs", FSOPEN_CLOEXEC);
	/* ramfs keeps no labels of its own before Linux 6.6. */
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", "kvmcrypt", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", text, 0) < 0 ||
	    (label && fsconfig(fs, FSCONFIG_SET_STRING, "context", label, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a ramfs (this takes root)");
	int m = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (m < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a ramfs (this takes root)");
	*ret = m;
	return 0;
}

bool ramfs_is_mounted(const char *path)
{
	struct stat here, above;
	struct statfs fs;
	char parent[4096];
	snprintf(parent, sizeof(parent), "%.4000s/..", path);
	return statfs(path, &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC) &&
	       stat(path, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}
