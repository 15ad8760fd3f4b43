#include "lib/image/file/signature.h"

#include "base/cleanup.h"
#include "base/library/library.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

static void probe_freep(blkid_probe *p)
{
	if (*p)
		blkid_free_probe(*p);
}
#define AUTOPROBE CLEANUP(probe_freep)

/* 0 is also a result of a device that is empty; libblkid's -1 tells no more. */
static int start(int fd, const char *path, blkid_probe *ret, struct error *e)
{
	int r = blkid_load(e);
	if (r < 0)
		return r;
	AUTOPROBE blkid_probe p = blkid_new_probe();
	if (!p)
		return error_oom(e);
	if (blkid_probe_set_device(p, fd, 0, 0) != 0)
		return error_set(e, ERROR_FAILED, EIO, "cannot look for signatures on %s", path);
	blkid_probe_enable_superblocks(p, true);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(p, true);
	blkid_probe_set_partitions_flags(p, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
	*ret = TAKE_PTR(p);
	return 0;
}

int signature_find(int fd, const char *path, char *buf, size_t len, struct error *e)
{
	AUTOPROBE blkid_probe p = NULL;
	const char *name = "several";
	int r = start(fd, path, &p, e);
	if (r < 0)
		return r;
	int found = blkid_do_safeprobe(p);
	if (found == -1)
		return error_set(e, ERROR_FAILED, EIO, "cannot look for signatures on %s", path);
	if (found == 0 && blkid_probe_lookup_value(p, "TYPE", &name, NULL) < 0 &&
	    blkid_probe_lookup_value(p, "PTTYPE", &name, NULL) < 0)
		name = "a signature";
	snprintf(buf, len, "%s", found == 1 ? "" : name);
	return 0;
}

int signature_wipe(int fd, const char *path, struct error *e)
{
	AUTOPROBE blkid_probe p = NULL;
	int r = start(fd, path, &p, e);
	while (r == 0 && blkid_do_probe(p) == 0)
		if (blkid_do_wipe(p, false) < 0)
			r = error_errno(e, ERROR_FAILED, errno ? errno : EIO, "cannot wipe the signatures of %s", path);
	return r;
}
