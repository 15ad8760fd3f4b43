#include "lib/image/container_restore.h"

#include "base/file.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"
#include "lib/image/file/signature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The clusters that a qcow2 gives its LUKS header are known from its own header alone. */
static int check_qcow2(int fd, uint64_t size, const struct container_region *region, struct error *e)
{
	struct qcow2_header header;
	int r = qcow2_read(fd, size, region->path, &header, e);
	if (r < 0)
		return r;
	if (header.crypt != QCOW2_CRYPT_LUKS || header.luks_offset != region->offset ||
	    header.luks_length != region->length)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s: the qcow2 header does not say that the LUKS header is where the keystore knows "
				 "it",
				 region->path);
	if (region->disk_size && header.size != region->disk_size)
		return error_set(e, ERROR_REFUSED, EFBIG,
				 "%s has a disk of %llu bytes, its record one of %llu: is it another image?",
				 region->path, (unsigned long long)header.size, (unsigned long long)region->disk_size);
	return 0;
}

static int check_size(uint64_t size, const struct container_region *region, struct error *e)
{
	if (!region->file_size || size == region->file_size)
		return 0;
	return error_set(e, ERROR_REFUSED, EFBIG,
			 "%s has %llu bytes, and the volume has %llu with its header: is it another file? One that was "
			 "cut is made as long as it was by truncate -s %llu",
			 region->path, (unsigned long long)size, (unsigned long long)region->file_size,
			 (unsigned long long)region->file_size);
}

static int open_region(const struct container_region *region, bool write, int *ret_fd, uint64_t *ret_size,
		       struct error *e)
{
	AUTOCLOSE int fd = -1;
	int r = image_open(region->path, write, &fd, ret_size, e);
	if (r == 0 && write)
		r = image_lock(fd, region->path, e);
	if (r == 0)
		r = check_size(*ret_size, region, e);
	if (r == 0 && region->format == IMAGE_FORMAT_QCOW2)
		r = check_qcow2(fd, *ret_size, region, e);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int container_region_read(const struct container_region *region, unsigned char **ret, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	int r = open_region(region, false, &fd, &size, e);
	if (r < 0)
		return r;
	AUTOFREE unsigned char *bytes = calloc(1, region->length);
	if (!bytes)
		return error_oom(e);
	uint64_t there = size > region->offset ? size - region->offset : 0;
	r = file_pread(fd, bytes, there < region->length ? there : region->length, region->offset, region->path, e);
	if (r == 0)
		*ret = TAKE_PTR(bytes);
	return r;
}

int container_region_holds(const struct container_region *region, char *buf, size_t len, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	buf[0] = 0;
	if (region->format == IMAGE_FORMAT_QCOW2)
		return 0;
	int r = open_region(region, false, &fd, &size, e);
	return r < 0 ? r : signature_find(fd, region->path, buf, len, e);
}

int container_region_write(const struct container_region *region, const unsigned char *bytes, uint64_t metadata,
			   struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size;
	int r = open_region(region, true, &fd, &size, e);
	if (r < 0)
		return r;
	AUTOFREE unsigned char *now = malloc(region->length);
	if (!now)
		return error_oom(e);
	if ((r = file_pwrite(fd, bytes + metadata, region->length - metadata, region->offset + metadata, region->path,
			     e)) < 0 ||
	    (r = file_sync(fd, region->path, e)) < 0 ||
	    (r = file_pwrite(fd, bytes, metadata, region->offset, region->path, e)) < 0 ||
	    (r = file_sync(fd, region->path, e)) < 0 ||
	    (r = file_pread(fd, now, region->length, region->offset, region->path, e)) < 0)
		return r;
	if (memcmp(now, bytes, region->length))
		return error_set(e, ERROR_FAILED, EIO, "%s: the LUKS header reads back differently", region->path);
	return 0;
}
