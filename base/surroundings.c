#include "base/surroundings.h"

#include <errno.h>
#include <unistd.h>

int surroundings_check(struct error *e)
{
	static const char *const needed[] = { "/proc/self/fd", "/dev/urandom" };
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (access(needed[i], R_OK) < 0)
			return error_errno(e, ERROR_FAILED, errno, "%s is needed to work on a LUKS header", needed[i]);
	return 0;
}
