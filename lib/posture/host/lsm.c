#include "lib/posture/host/lsm.h"

#include <stdio.h>

/* The first character of a file; 0: there is none. */
static char first_of(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : EOF;
	if (f)
		fclose(f);
	return c == EOF ? 0 : (char)c;
}

enum lsm lsm_active(bool *ret_enforces)
{
	char selinux = first_of("/sys/fs/selinux/enforce");
	/* Each profile of AppArmor has a mode of its own. */
	bool apparmor = first_of("/sys/module/apparmor/parameters/enabled") == 'Y';
	if (ret_enforces)
		*ret_enforces = selinux ? selinux == '1' : apparmor;
	return selinux ? LSM_SELINUX : apparmor ? LSM_APPARMOR : LSM_NONE;
}
