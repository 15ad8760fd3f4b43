#include "lib/workflow/create/plan.h"
#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* 0: free to create; 1: the same volume is there (record in *ret); else an error. */
static int check_existing(const struct volume_env *env, const struct create_plan *plan, struct record **ret,
			  struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct error none = { 0 };
	int found = keystore_find_path(env->ks, plan->path, &r, &none);
	if (found < 0 && none.kind != ERROR_NOT_FOUND) {
		*e = none;
		return found;
	}
	if (found == 0 && r->state != RECORD_READY) {
		/* Somebody is at it, or was: wait for the one, clean up after the other, look again. */
		AUTOCLOSE int lock = -1;
		struct volume_recovered done;
		int busy = volume_lock(env->ks, r->uuid, true, &lock, e);
		if (busy < 0)
			return busy;
		cleanup_close(&lock);
		lock = -1;
		int rec = volume_recover(env, NULL, r->uuid, &done, e);
		if (rec < 0 && e->kind != ERROR_NOT_FOUND)
			return rec;
		record_free(TAKE_PTR(r));
		none = (struct error){ 0 };
		found = keystore_find_path(env->ks, plan->path, &r, &none);
	}
	if (found < 0 && plan->header && volume_path_taken(plan->header))
		return error_set(e, ERROR_EXISTS, EEXIST, "--header: %s exists already", plan->header);
	if (found < 0 && plan->device)
		return create_raw_check_device(plan, e);
	if (found < 0 && !volume_path_taken(plan->path))
		return 0;
	if (found < 0)
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "%s exists already and is not in the keystore (`kvmcrypt import` takes in a LUKS volume)",
				 plan->path);
	if (!plan->p.if_absent)
		return error_set(e, ERROR_EXISTS, EEXIST, "%s is a volume of the keystore already", plan->path);
	int same = create_plan_check_same(plan, r, e);
	if (same < 0)
		return same;
	*ret = TAKE_PTR(r);
	return 1;
}

/* ---- the file ---- */

static int write_qcow2(const struct volume_env *env, const struct create_plan *plan, struct luks *luks, int fd,
		       struct error *e)
{
	size_t len = luks_len(luks);
	uint64_t offset;
	struct qcow2_params q = {
		.size = plan->p.size,
		.cluster_size = plan->p.cluster_size,
		.prealloc = plan->p.prealloc,
		.backing = plan->backing,
		.backing_format = plan->backing_format,
	};
	int r = qcow2_write(fd, &q, len, env->progress, &offset, e);
	return r < 0 ? r : luks_write_used(luks, 0, len, fd, offset, plan->p.path, e);
}

static int set_owner(int fd, const struct volume_create *p, struct error *e)
{
	if ((p->uid != (uid_t)-1 || p->gid != (gid_t)-1) && fchown(fd, p->uid, p->gid) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot change the owner of %s", p->path);
	if (p->mode >= 0 && fchmod(fd, (mode_t)p->mode) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the mode of %s", p->path);
	return 0;
}

/* ---- the record ---- */

/* With integrity the header comes later; what the plan says of it is known. */
static void fill_from_plan(const struct create_plan *plan, struct record *r)
{
	const struct luks_params lp = create_plan_params(plan);
	uuid_generate_random(r->luks_uuid);
	r->luks_version = plan->p.luks_version;
	snprintf(r->cipher, sizeof(r->cipher), "%s", plan->p.cipher);
	r->key_bits = (uint32_t)(8 * luks_volume_key_len(&lp));
	r->sector_size = plan->p.sector_size;
}

static int make_record(const struct create_plan *plan, struct luks *luks, struct secret **passphrase,
		       struct secret **volume_key, struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = record_new(&r, e);
	if (result < 0)
		return result;
	r->state = RECORD_CREATING;
	r->path = strdup(plan->path);
	r->backing = plan->backing ? strdup(plan->backing) : NULL;
	r->header_path = plan->header ? strdup(plan->header) : NULL;
	r->integrity = plan->p.integrity ? strdup(plan->p.integrity) : NULL;
	if (!r->path || (plan->backing && !r->backing) || (plan->header && !r->header_path) ||
	    (plan->p.integrity && !r->integrity))
		return error_oom(e);
	r->format = plan->p.format == IMAGE_FORMAT_QCOW2 ? RECORD_FORMAT_QCOW2 : RECORD_FORMAT_RAW;
	r->size = plan->p.size;
	r->created = r->rotated = (int64_t)time(NULL);
	if (luks)
		volume_fill_from_luks(r, luks_info(luks), 0, luks_info(luks)->data_offset);
	else
		fill_from_plan(plan, r);
	r->passphrase = TAKE_PTR(*passphrase);
	r->volume_key = TAKE_PTR(*volume_key);
	r->revealed = 1;
	*ret = TAKE_PTR(r);
	return 0;
}

/* Where the image and a detached header are made, before they have their names. */
static int plan_files(const struct create_plan *plan, struct record *r, struct file_new **file,
		      struct file_new **header, struct error *e)
{
	int ret = plan->device ? 0 : file_new_plan(plan->path, file, e);
	if (ret == 0 && plan->header)
		ret = create_raw_plan_header(plan->header, r->uuid, header, e);
	if (ret < 0)
		return ret;
	r->beside = *file ? strdup((*file)->tmp) : NULL;
	return *file && !r->beside ? error_oom(e) : 0;
}

/* Undoes a failed create at once; what even this cannot do is left to volume_recover(). */
static void undo(const struct volume_env *env, struct file_new *f, struct file_new *header, struct record *r)
{
	if (f && f->committed)
		return;
	if (r->integrity && create_raw_unmap(r, NULL) < 0)
		return;
	if (f && f->fd >= 0)
		unlink(f->tmp);
	if (header && header->committed)
		unlink(header->path);
	keystore_remove(env->ks, r, "create-undone", NULL, NULL);
}

static int build(const struct volume_env *env, const struct create_plan *plan, struct luks **luks,
		 struct file_new *f, struct file_new *header, struct record *r, struct error *e)
{
	const struct create_raw raw = { env, plan, luks, f, header };
	int ret;
	if (plan->p.format == IMAGE_FORMAT_RAW) {
		ret = create_raw_build(&raw, r, e);
	} else {
		ret = file_new_open(f, e);
		if (ret == 0)
			ret = write_qcow2(env, plan, *luks, f->fd, e);
		if (ret == 0)
			ret = volume_prove_new(r, f->tmp, e);
	}
	if (ret == 0 && f)
		ret = set_owner(f->fd, &plan->p, e);
	/* The data's file is the last to appear: with it the volume is complete. */
	if (ret == 0 && header)
		ret = file_new_commit(header, false, e);
	if (ret == 0 && f)
		ret = file_new_commit(f, false, e);
	return ret;
}

static int create_once(const struct volume_env *env, const struct create_plan *plan, struct record **ret,
		       bool *ret_existed, struct error *e)
{
	AUTORECORD struct record *record = NULL;
	AUTOSECRET struct secret *passphrase = NULL;
	AUTOSECRET struct secret *volume_key = NULL;
	AUTOLUKS struct luks *luks = NULL;
	AUTOFILE_NEW struct file_new *file = NULL;
	AUTOFILE_NEW struct file_new *header = NULL;
	AUTOCLOSE int lock = -1;

	int r = check_existing(env, plan, &record, e);
	if (r < 0)
		return r;
	if (r == 1) {
		*ret = TAKE_PTR(record);
		*ret_existed = true;
		return 0;
	}
	const struct luks_params lp = create_plan_params(plan);
	if ((r = secret_generate_passphrase(&passphrase, e)) < 0)
		return r;
	r = plan->integrity ? secret_random(luks_volume_key_len(&lp), &volume_key, e)
			    : luks_format(&lp, passphrase, LUKS_KDF_GENERATED, &luks, &volume_key, e);
	if (r < 0 || (r = make_record(plan, luks, &passphrase, &volume_key, &record, e)) < 0 ||
	    (r = plan_files(plan, record, &file, &header, e)) < 0)
		return r;
	if (plan->p.dry_run) {
		*ret = TAKE_PTR(record);
		*ret_existed = false;
		return 0;
	}
	if ((r = volume_lock(env->ks, record->uuid, false, &lock, e)) < 0 ||
	    (r = keystore_put(env->ks, record, "create-begin", plan->path, e)) < 0)
		return r;
	r = build(env, plan, &luks, file, header, record, e);
	if (r < 0) {
		undo(env, file, header, record);
		return r;
	}
	record->state = RECORD_READY;
	free(TAKE_PTR(record->beside));
	r = keystore_put(env->ks, record, "create", plan->path, e);
	if (r < 0)
		return error_prefix(e, "%s was made, its record is unfinished: run `kvmcrypt recover`", plan->path);
	*ret = TAKE_PTR(record);
	*ret_existed = false;
	return 0;
}

int volume_create(const struct volume_env *env, const struct volume_create *p, struct record **ret,
		  bool *ret_existed, struct error *e)
{
	CLEANUP(create_plan_clear) struct create_plan plan = { 0 };
	int r = create_plan_make(p, &plan, e);
	if (r < 0)
		return r;
	r = create_once(env, &plan, ret, ret_existed, e);
	/* Two pipelines at once: the one that came second finds the volume of the first. */
	if (r == -EEXIST && p->if_absent) {
		*e = (struct error){ 0 };
		r = create_once(env, &plan, ret, ret_existed, e);
	}
	return r;
}
