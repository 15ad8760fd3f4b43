#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"

#include "lib/image/mapping/integrity.h"
#include "lib/image/mapping/mapping.h"
#include "lib/image/file/signature.h"
#include "lib/image/file/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (1u << 20)
/* dm-integrity: a journal of at most 64 MiB, and tags in whole buffers between the data. */
#define JOURNAL_MAX (64u * 1024 * 1024)
#define TAG_MAX 64u

/* ---- the device ---- */

/* O_EXCL on a block device: nobody has mounted it, built on it or claimed it. */
static int claim(const char *path, int *ret_fd, struct error *e)
{
	struct stat st;
	char users[512] = "";
	int fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno != EBUSY)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", path);
	if (stat(path, &st) == 0)
		device_users_text(st.st_rdev, users, sizeof(users));
	return error_set(e, ERROR_BUSY, EBUSY, "%s is in use%s%s", path, *users ? ": " : "", users);
}

int create_raw_check_device(const struct create_plan *plan, struct error *e)
{
	AUTOCLOSE int fd = -1, look = -1;
	char what[64];
	if (plan->p.destroy && strcmp(plan->p.destroy, plan->p.path) != 0)
		return error_set(e, ERROR_REFUSED, EINVAL, "--yes-destroy names %s, but the volume is to be on %s",
				 plan->p.destroy, plan->p.path);
	look = open(plan->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (look < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", plan->path);
	int r = signature_find(look, plan->path, what, sizeof(what), e);
	if (r < 0)
		return r;
	if (*what && !plan->p.destroy)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s carries data (%s); if that may be destroyed, add --yes-destroy %s", plan->path,
				 what, plan->p.path);
	return claim(plan->path, &fd, e);
}

static int write_zeros(int fd, const char *path, uint64_t from, uint64_t to, const struct progress *progress,
		       struct error *e)
{
	AUTOFREE unsigned char *zeros = calloc(1, BLOCK);
	if (!zeros)
		return error_oom(e);
	for (uint64_t at = from; at < to; at += BLOCK) {
		size_t len = to - at < BLOCK ? (size_t)(to - at) : BLOCK;
		int r = file_pwrite(fd, zeros, len, at, path, e);
		if (r < 0)
			return r;
		if (progress_report(progress, "writing", at + len, to))
			return error_set(e, ERROR_FAILED, ECANCELED, "stopped");
	}
	return 0;
}

/* Old signatures, and an old LUKS header with its keyslots, go before anything of ours comes. */
static int prepare_device(int fd, const struct create_plan *plan, struct error *e)
{
	int r = signature_wipe(fd, plan->path, e);
	if (r == 0 && !plan->header)
		r = write_zeros(fd, plan->path, 0, create_plan_data_offset(plan), NULL, e);
	return r < 0 ? r : file_sync(fd, plan->path, e);
}

/* ---- the file ---- */

/* So much that dm-integrity has room for SIZE bytes beside its journal and tags; cut to fit later. */
static uint64_t file_length(const struct create_plan *plan)
{
	uint64_t size = plan->p.size, offset = create_plan_data_offset(plan);
	if (!plan->integrity)
		return offset + size;
	uint64_t journal = size / 64 < JOURNAL_MAX ? size / 64 : JOURNAL_MAX;
	uint64_t tags = size / plan->p.sector_size * TAG_MAX;
	uint64_t length = offset + size + journal + tags + size / 128 + 4 * BLOCK;
	return (length + BLOCK - 1) / BLOCK * BLOCK;
}

static int prepare_file(int fd, const struct create_plan *plan, const struct progress *progress, struct error *e)
{
	uint64_t length = file_length(plan);
	if (ftruncate(fd, (off_t)length) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", plan->path);
	if (plan->p.prealloc == QCOW2_PREALLOC_OFF)
		return 0;
	int err = posix_fallocate(fd, 0, (off_t)length);
	if (err)
		return error_errno(e, ERROR_FAILED, err, "cannot reserve space for %s", plan->path);
	if (plan->p.prealloc != QCOW2_PREALLOC_FULL || plan->integrity)
		return 0;
	return write_zeros(fd, plan->path, create_plan_data_offset(plan), length, progress, e);
}

/* ---- integrity ---- */

void create_raw_wipe_name(const struct record *r, char *buf, size_t len)
{
	char uuid[UUID_STR_LEN];
	uuid_unparse_lower(r->uuid, uuid);
	snprintf(buf, len, "kvmcrypt-wipe-%s", uuid);
}

int create_raw_unmap(const struct record *r, struct error *e)
{
	char name[MAPPING_NAME_LEN];
	create_raw_wipe_name(r, name, sizeof(name));
	int result = mapping_name_taken(name) ? mapping_remove(name, e) : 0;
	if (result == 0 && r->state == RECORD_CREATING)
		result = mapping_remove_temporary(r->beside ? r->beside : r->path, e);
	/* With nothing above it the integrity layer is debris. */
	return result < 0 ? result : volume_clear_debris(r->luks_uuid, NULL, e);
}

/* dm-integrity's superblock on the data, and a first tag for every sector. */
static int build_integrity(struct flow *f, const char *data, struct error *e)
{
	struct create_state *s = f->state;
	struct record *r = f->record;
	uint64_t offset = create_plan_data_offset(&s->plan);
	char name[MAPPING_NAME_LEN];
	struct volume_mapping m = { 0 };
	struct luks_params lp = create_plan_params(&s->plan);
	lp.uuid = r->luks_uuid;
	lp.volume_key = r->volume_key;
	lp.data_device = data;
	int result = luks_format(&lp, r->passphrase, LUKS_KDF_GENERATED, &s->luks, NULL, e);
	/* The kernel gave what there was room for; from now on it is what was asked for. */
	if (result == 0 && s->file)
		result = integrity_fit(s->file->fd, data, offset, s->plan.p.size, e);
	if (result < 0)
		return result;
	create_raw_wipe_name(r, name, sizeof(name));
	result = mapping_open(s->luks, data, name, r->volume_key, MAPPING_NO_JOURNAL, e);
	if (result < 0)
		return result;
	result = mapping_zero(name, 0, f->env->progress, e);
	if (result == 0)
		result = volume_mapping(r, &m, e);
	int closed = create_raw_unmap(r, result < 0 ? NULL : e);
	if (result < 0 || closed < 0)
		return result < 0 ? result : closed;
	/* The kernel has written down by now what it makes of the file. */
	uint64_t size = m.status.size;
	if (s->file && (result = integrity_size(s->file->fd, data, offset, &size, e)) < 0)
		return result;
	if (size != m.status.size || (s->file && size != s->plan.p.size))
		return error_set(e, ERROR_FAILED, ENOSPC, "dm-integrity gives %llu bytes, not %llu",
				 (unsigned long long)size, (unsigned long long)s->plan.p.size);
	volume_fill_from_luks(r, luks_info(s->luks), 0, luks_info(s->luks)->data_offset);
	r->size = size;
	/* The digest of the key was not known when the record was first written. */
	return flow_store(f, "create-formatted", e);
}

/* ---- the header ---- */

/* The first copy comes last and after a sync: until then nothing takes the device for a volume. */
static int write_header(struct luks *luks, int fd, const char *path, struct error *e)
{
	const struct luks_info *info = luks_info(luks);
	size_t len = luks_len(luks);
	size_t first = info->version == 2 ? info->metadata_size : LUKS1_PHDR_PAGE;
	if (info->data_offset && len > info->data_offset)
		len = info->data_offset;
	int r = luks_write_used(luks, first, len, fd, 0, path, e);
	if (r < 0 || (r = file_sync(fd, path, e)) < 0 || (r = luks_write_used(luks, 0, first, fd, 0, path, e)) < 0)
		return r;
	return file_sync(fd, path, e);
}

/* ---- all of it ---- */

static int put_header(struct flow *f, int data_fd, const char *data, struct error *e)
{
	struct create_state *s = f->state;
	int ret = s->header ? file_new_open(s->header, e) : 0;
	if (ret == 0 && s->header && ftruncate(s->header->fd, LUKS2_DATA_OFFSET) < 0)
		ret = error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", s->header->path);
	if (ret == 0)
		ret = s->header ? write_header(s->luks, s->header->fd, s->header->path, e)
				: write_header(s->luks, data_fd, data, e);
	return ret < 0 ? ret : volume_prove_new(f->record, s->header ? s->header->tmp : data, e);
}

/* A device that was not finished looks like an empty one; what fails here the key's loss makes good. */
static void take_back_header(int fd, const struct create_plan *plan)
{
	if (plan->device && !plan->header)
		write_zeros(fd, plan->path, 0, create_plan_data_offset(plan), NULL, NULL);
}

int create_raw_build(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	const struct create_plan *plan = &s->plan;
	AUTOCLOSE int device = -1;
	const char *data = s->file ? s->file->tmp : plan->path;
	int ret = s->file ? file_new_open(s->file, e) : claim(data, &device, e);
	if (ret == 0)
		ret = s->file ? prepare_file(s->file->fd, plan, f->env->progress, e) : prepare_device(device, plan, e);
	if (ret == 0 && plan->integrity) {
		/* The kernel claims the device for itself meanwhile. */
		cleanup_close(&device);
		device = -1;
		ret = build_integrity(f, data, e);
		if (ret == 0 && !s->file)
			ret = claim(data, &device, e);
	}
	if (ret < 0)
		return ret;
	ret = put_header(f, s->file ? s->file->fd : device, data, e);
	if (ret < 0)
		take_back_header(device, plan);
	return ret;
}
