/* The copy of a file under its new volume key. */
#include "lib/workflow/reencrypt/internal.h"

#include "base/file.h"
#include "lib/image/file/copy.h"
#include "lib/image/recrypt/recrypt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct copy {
	int to;
	struct stat st;		/* of the old file */
	bool fresh;		/* the new file was empty */
	struct qcow2_map map;
};

static void copy_clear(struct copy *c)
{
	cleanup_close(&c->to);
	qcow2_map_clear(&c->map);
}

static int open_target(struct flow *f, int from, struct copy *c, struct error *e)
{
	const struct record *r = f->record;
	int result = reencrypt_make_file(f, c->st.st_uid, &c->to, &c->fresh, e);
	const struct image_copy all = { .from = from, .from_path = r->path, .to = c->to, .to_path = r->beside };
	if (result == 0)
		result = image_copy_check_attributes(&all, e);
	if (result == 0 && ftruncate(c->to, c->st.st_size) < 0)
		result = error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", r->beside);
	return result;
}

/* Only when it is whole, as its owner may write to it. */
static int copy_attributes(const struct record *r, int from, const struct copy *c, struct error *e)
{
	const struct image_copy all = { .from = from, .from_path = r->path, .to = c->to, .to_path = r->beside };
	int result = image_copy_attributes(&all, e);
	return result < 0 ? result : file_sync(c->to, r->beside, e);
}

static int write_header(struct record *r, const struct copy *c, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	int result = reencrypt_header(r, &l, e);
	if (result == 0 && c->fresh)
		return luks_write_used(l, 0, r->geometry.header_length, c->to, r->geometry.header_offset, r->beside, e);
	/* An earlier run may have come as far as here: over all that it wrote. */
	if (result == 0)
		result = file_pwrite(c->to, luks_bytes(l), r->geometry.header_length, r->geometry.header_offset,
				     r->beside, e);
	return result;
}

/* What the copy loop knows how to do, and all that qcow2's own tables say. */
static int plan(const struct record *r, struct container *old, struct qcow2_map *ret_map, struct error *e)
{
	const struct container_info *info = container_info(old);
	const struct luks_info *luks = luks_info(container_luks(old));
	if (luks->iv_tweak || luks->data_size || luks->data_offset % luks->sector_size)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP, "%s has an unusual LUKS2 segment, which is not copied",
				 r->path);
	if (r->format != RECORD_FORMAT_QCOW2)
		return 0;
	return qcow2_map_read(container_fd(old), info->file_size, r->path, &info->qcow2, ret_map, e);
}

int reencrypt_copy_check(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	CLEANUP(qcow2_map_clear) struct qcow2_map map = { 0 };
	int result = volume_open_header(r, CONTAINER_CHANGE, &old, e);
	return result < 0 ? result : plan(r, old, &map, e);
}

static struct recrypt job_of(const struct volume_env *env, const struct record *r, struct container *old,
			     const struct copy *c)
{
	const struct container_info *info = container_info(old);
	const struct luks_info *luks = luks_info(container_luks(old));
	bool qcow2 = r->format == RECORD_FORMAT_QCOW2;
	uint64_t start = qcow2 ? 0 : luks->data_offset;
	/* A qcow2 ends anywhere, with a table. A rest of a raw disk that is no whole sector is no data. */
	uint64_t rest = qcow2 ? 0 : (info->file_size - start) % luks->sector_size;
	return (struct recrypt){
		.from = { container_fd(old), r->path, r->volume_key },
		.to = { c->to, r->beside, r->next_volume_key },
		.size = info->file_size - rest,
		.sector_size = luks->sector_size,
		.header_offset = info->header_offset,
		.header_length = info->header_length,
		.data_offset = start,
		.map = qcow2 ? &c->map : NULL,
		.fresh = c->fresh,
		.progress = env->progress,
	};
}

/*
 * Is the copy, read from the disk as a stranger would, the image? Its LUKS header opens to the key it should;
 * its tables are walked and compared, and plaintext of both.
 */
static int prove_copy(const struct record *r, struct container *old, const struct recrypt *job, struct error *e)
{
	CLEANUP(qcow2_map_clear) struct qcow2_map map = { 0 };
	struct qcow2_header header;
	const struct container_info *info = container_info(old);
	int result = reencrypt_prove(r, r->beside, e);
	if (result < 0 || !job->map)
		return result < 0 ? result : recrypt_sample(job, NULL, NULL, e);
	result = qcow2_read(job->to.fd, info->file_size, job->to.path, &header, e);
	if (result == 0)
		result = qcow2_map_read(job->to.fd, info->file_size, job->to.path, &header, &map, e);
	const struct qcow2_side image = { job->from.fd, job->from.path, &info->qcow2, job->map };
	const struct qcow2_side copy = { job->to.fd, job->to.path, &header, &map };
	if (result == 0)
		result = qcow2_compare_tables(&image, &copy, e);
	return result < 0 ? result : recrypt_sample(job, &image, &copy, e);
}

/* The new file is whole: it takes the old one's name, and the old header's keys are destroyed. */
static int replace(const struct volume_env *env, struct record *r, struct container *old, struct error *e)
{
	struct error why = { 0 };
	int result = reencrypt_take_name(r, container_fd(old), e);
	if (result == 0)
		result = reencrypt_prove(r, r->path, e);
	/* Nobody else has the old file now; its blocks go back to the file system as noise. */
	if (result == 0 && container_erase(old, &why) < 0)
		volume_note(env, "the old image is gone, but its LUKS header could not be overwritten: %s",
			    why.message);
	return result;
}

int reencrypt_copy(struct flow *f, struct error *e)
{
	struct record *r = f->record;
	AUTOCONTAINER struct container *old = NULL;
	CLEANUP(copy_clear) struct copy c = { .to = -1 };
	struct recrypt job;
	uint64_t kept;
	/* Locked to the end: nobody can write what would not be in the copy. */
	int result = volume_open_header(r, CONTAINER_CHANGE, &old, e);
	if (result == 0 && fstat(container_fd(old), &c.st) < 0)
		result = error_errno(e, ERROR_FAILED, errno, "cannot stat %s", r->path);
	if (result == 0)
		result = plan(r, old, &c.map, e);
	if (result == 0)
		result = reencrypt_check_space(r, e);
	if (result == 0)
		result = open_target(f, container_fd(old), &c, e);
	if (result == 0)
		result = write_header(r, &c, e);
	if (result == 0) {
		job = job_of(f->env, r, old, &c);
		result = recrypt_run(&job, &kept, e);
	}
	if (result == 0)
		result = file_sync(c.to, r->beside, e);
	/* After this the old image goes. */
	if (result == 0)
		result = prove_copy(r, old, &job, e);
	if (result == 0)
		result = copy_attributes(r, container_fd(old), &c, e);
	return result < 0 ? result : replace(f->env, r, old, e);
}
