#include "lib/guest/daemon.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>

/* The last is the driver's, and is there whatever --pid-file the daemon was given. */
static const char *const pid_files[] = {
	"/run/libvirtd.pid",
	"/run/virtsecretd.pid",
	"/run/libvirt/secrets/driver.pid",
};

int guest_daemon_runs(bool *ret, pid_t *ret_pid, struct error *e)
{
	*ret = false;
	*ret_pid = 0;
	for (size_t i = 0; i < ARRAY_LEN(pid_files) && !*ret; i++) {
		AUTOCLOSE int fd = open(pid_files[i], O_RDONLY | O_CLOEXEC);
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0)
			return error_errno(e, error_kind_of_errno(errno), errno,
					   "cannot tell from %s whether libvirt runs", pid_files[i]);
		if (lock.l_type == F_UNLCK)
			continue;
		*ret = true;
		*ret_pid = lock.l_pid > 0 ? lock.l_pid : 0;
	}
	return 0;
}
