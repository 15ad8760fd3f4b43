#include "lib/image/container_like.h"

#include <errno.h>
#include <unistd.h>

static int like_qcow2(const struct container_info *info, const char *backing, size_t luks_len, int fd,
		      const struct progress *progress, uint64_t *ret_offset, struct error *e)
{
	const struct qcow2_header *h = &info->qcow2;
	const struct qcow2_params q = {
		.size = info->size,
		.cluster_size = UINT32_C(1) << h->cluster_bits,
		.refcount_bits = h->refcount_bits,
		.extended_l2 = h->extended_l2,
		.backing = !h->backing[0] ? NULL : backing ? backing : h->backing,
		.backing_format = h->backing[0] ? h->backing_format : NULL,
	};
	return qcow2_write(fd, &q, luks_len, progress, ret_offset, e);
}

int container_like(const struct container *old, const char *backing, size_t luks_len, int fd,
		   const struct progress *progress, uint64_t *ret_offset, struct error *e)
{
	const struct container_info *info = container_info(old);
	if (info->format == IMAGE_FORMAT_QCOW2)
		return like_qcow2(info, backing, luks_len, fd, progress, ret_offset, e);
	if (ftruncate(fd, (off_t)info->file_size) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of the new image");
	*ret_offset = 0;
	return 0;
}
