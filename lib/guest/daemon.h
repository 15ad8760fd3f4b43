/* Does a daemon of libvirt run that keeps secrets? Without a connection, which would start one. */
#ifndef LIB_GUEST_DAEMON_H
#define LIB_GUEST_DAEMON_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Looks for the locks that libvirtd and virtsecretd hold on their pid files while they run, and the
 * secret driver in them on its own. A socket would not tell: systemd listens on it before there is a
 * daemon, and whoever connects starts one. *ret_pid: of the daemon, 0 if it is not known.
 */
int guest_daemon_runs(bool *ret, pid_t *ret_pid, struct error *e);

/* Likewise the one that has QEMU's driver, libvirtd or virtqemud. */
int guest_qemu_runs(bool *ret, struct error *e);

#endif
