/* Is there room for a second image beside the first? */
#include "lib/workflow/reencrypt/internal.h"

#include "lib/image/file/copy.h"

#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

int reencrypt_check_space(const struct record *r, struct error *e)
{
	struct stat there = { 0 };
	AUTOFREE char *path = strdup(r->path);
	if (!path)
		return error_oom(e);
	/* What an interrupted run has written already. */
	uint64_t written = lstat(r->beside, &there) == 0 ? (uint64_t)there.st_blocks * 512 : 0;
	return image_check_space(r->path, dirname(path), written, e);
}
