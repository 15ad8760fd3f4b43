#include "lib/workflow/resize_integrity.h"
#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/image/file/open.h"
#include "lib/image/mapping/integrity.h"
#include "lib/image/mapping/mapping.h"

#include <errno.h>

int resize_integrity_check(const struct record *r, const struct volume_resize *p, uint64_t now,
			   const struct volume_mapping *m, struct error *e)
{
	int result = volume_check_ready(r, e);
	if (result < 0)
		return result;
	if (p->size % INTEGRITY_GRAIN)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must be a multiple of %u bytes: %s has integrity",
				 INTEGRITY_GRAIN, r->path);
	if (p->size < now)
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "%s has integrity, and dm-integrity cannot be made smaller: create a smaller volume "
				 "and copy",
				 r->path);
	if (p->size > now && file_is_block_device(r->path))
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "%s has integrity and is a device: create a volume on a larger one and copy", r->path);
	if (p->size > now && m->name[0])
		return error_set(e, ERROR_BUSY, EBUSY,
				 "%s has integrity, and dm-integrity does not grow while it is open as /dev/mapper/%s: "
				 "`kvmcrypt close` it first",
				 r->path, m->name);
	return p->size > now ? mapping_available(e) : 0;
}

static int fit(const struct record *r, uint64_t offset, uint64_t size, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t now;
	int result = image_open(r->path, true, &fd, &now, e);
	return result < 0 ? result : integrity_fit(fd, r->path, offset, size, e);
}

static int write_tags(const struct volume_env *env, struct container *c, const struct record *r, struct error *e)
{
	char name[MAPPING_NAME_LEN];
	create_raw_wipe_name(r, name, sizeof(name));
	int result = mapping_open(container_luks(c), r->path, name, r->volume_key, 0, e);
	if (result < 0)
		return result;
	result = mapping_zero(name, r->size, env->progress, e);
	int closed = create_raw_unmap(r, result < 0 ? NULL : e);
	return result < 0 ? result : closed;
}

static uint64_t data_offset(struct container *c, const struct record *r)
{
	return r->header_path ? 0 : luks_info(container_luks(c))->data_offset;
}

int resize_integrity(const struct volume_env *env, const struct record *r, const struct volume_resize *p,
		     struct error *e)
{
	/* Its locks keep a QEMU away meanwhile. */
	AUTOCONTAINER struct container *c = NULL;
	int result = volume_open_header(r, CONTAINER_CHANGE, &c, e);
	if (result == 0)
		result = fit(r, data_offset(c, r), p->size, e);
	if (result == 0)
		result = write_tags(env, c, r, e);
	return result;
}

int resize_integrity_undo(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = create_raw_unmap(r, e);
	if (result == 0)
		result = volume_open_header(r, CONTAINER_CHANGE, &c, e);
	return result < 0 ? result : fit(r, data_offset(c, r), r->size, e);
}
