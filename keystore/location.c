/* Where the keystore is when nobody says so. */
#include "keystore/location.h"

#include "keystore/internal.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

int location_home(const char *variable, const char *below_home, char **ret, struct error *e)
{
	const char *xdg = getenv(variable), *home = getenv("HOME");
	char *dir;
	int n;
	/* The XDG specification says to ignore a relative path. */
	if (xdg && xdg[0] == '/') {
		n = asprintf(&dir, "%s/kvmcrypt", xdg);
	} else {
		const struct passwd *pw = home && home[0] == '/' ? NULL : getpwuid(geteuid());
		if (pw)
			home = pw->pw_dir;
		if (!home || home[0] != '/')
			return error_set(e, ERROR_USAGE, ENOENT,
					 "no home directory: say where the keystore is with --keystore");
		n = asprintf(&dir, "%s/%s/kvmcrypt", home, below_home);
	}
	if (n < 0)
		return error_oom(e);
	*ret = dir;
	return 0;
}

int keystore_location(const char *option, char **ret, struct error *e)
{
	const char *env = getenv("KVMCRYPT_KEYSTORE");
	if (option && !option[0])
		return error_set(e, ERROR_USAGE, EINVAL, "--keystore is empty");
	const char *chosen = option ? option : env && env[0] ? env : NULL;
	if (!chosen && geteuid() != 0)
		return location_home("XDG_DATA_HOME", ".local/share", ret, e);
	char *copy = strdup(chosen ? chosen : KEYSTORE_OF_ROOT);
	if (!copy)
		return error_oom(e);
	*ret = copy;
	return 0;
}
