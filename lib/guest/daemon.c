#include "lib/guest/daemon.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>

/* The last of each is the driver's, and is there whatever --pid-file the daemon was given. */
static const char *const of_secrets[] = {
	"/run/libvirtd.pid",
	"/run/virtsecretd.pid",
	"/run/libvirt/secrets/driver.pid",
	NULL,
};
static const char *const of_guests[] = {
	"/run/libvirtd.pid",
	"/run/virtqemud.pid",
	"/run/libvirt/qemu/driver.pid",
	NULL,
};

static int look(const char *const *files, bool *ret, pid_t *ret_pid, struct error *e)
{
	*ret = false;
	*ret_pid = 0;
	for (; *files && !*ret; files++) {
		AUTOCLOSE int fd = open(*files, O_RDONLY | O_CLOEXEC);
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0)
			return error_errno(e, error_kind_of_errno(errno), errno,
					   "cannot tell from %s whether libvirt runs", *files);
		if (lock.l_type == F_UNLCK)
			continue;
		*ret = true;
		*ret_pid = lock.l_pid > 0 ? lock.l_pid : 0;
	}
	return 0;
}

int guest_daemon_runs(bool *ret, pid_t *ret_pid, struct error *e)
{
	return look(of_secrets, ret, ret_pid, e);
}

int guest_qemu_runs(bool *ret, struct error *e)
{
	pid_t pid;
	return look(of_guests, ret, &pid, e);
}
