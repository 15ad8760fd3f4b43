/* The security module that keeps guests apart on this host. */
#ifndef LIB_POSTURE_HOST_LSM_H
#define LIB_POSTURE_HOST_LSM_H

#include <stdbool.h>

enum lsm {
	LSM_NONE,
	LSM_SELINUX,
	LSM_APPARMOR,
};

/* Which one is on. *ret_enforces (may be NULL): it denies, and does not only tell. */
enum lsm lsm_active(bool *ret_enforces);

#endif
