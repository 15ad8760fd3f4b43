#include "base/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

int random_bytes(void *ret, size_t len, struct error *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = getrandom((unsigned char *)ret + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(e, ERROR_FAILED, errno, "cannot get random bytes");
		done += (size_t)n;
	}
	return 0;
}
