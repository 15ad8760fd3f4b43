/* Is there room for a second image beside the first? */
#include "lib/workflow/reencrypt/internal.h"

#include "base/text.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Left free beyond the data: the file system's own tables for it. */
#define SPARE (4u * 1024 * 1024)

int reencrypt_check_space(const struct record *r, struct error *e)
{
	struct statvfs fs;
	struct stat st, there = { 0 };
	char a[32], b[32];
	if (stat(r->path, &st) < 0 || statvfs(r->path, &fs) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot ask for the free space beside %s", r->path);
	uint64_t need = (uint64_t)st.st_blocks * 512 + SPARE, have = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* What an interrupted run has written already. */
	if (lstat(r->beside, &there) == 0)
		have += (uint64_t)there.st_blocks * 512;
	if (have < need)
		return error_set(e, ERROR_FAILED, ENOSPC, "the copy of %s needs %s on its file system, which has %s free",
				 r->path, text_size(need, a, sizeof(a)), text_size(have, b, sizeof(b)));
	return 0;
}
