#include "lib/workflow/create/base.h"
#include "lib/workflow/create/plan.h"
#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct create_state {
	struct create_plan plan;
	bool planned;
	struct luks *luks;		/* NULL with integrity until act() made it */
	struct file_new *file;		/* NULL for a device */
	struct file_new *header;	/* NULL without a detached one */
};

static void clear(void *state)
{
	struct create_state *s = state;
	luks_free(s->luks);
	file_new_free(s->file);
	file_new_free(s->header);
	if (s->planned)
		create_plan_clear(&s->plan);
}

/* ---- check ---- */

/* Is the volume that is in the keystore for this path the one that is asked for? */
static int check_same(struct flow *f, const struct create_plan *plan, struct record **r, struct error *e)
{
	if (!plan->p.if_absent)
		return error_set(e, ERROR_EXISTS, EEXIST, "%s is a volume of the keystore already", plan->path);
	int ret = volume_check_ready(*r, e);
	if (ret == 0)
		ret = create_plan_check_same(plan, *r, e);
	if (ret < 0)
		return ret;
	f->record = TAKE_PTR(*r);
	f->unchanged = true;
	return 0;
}

static int check(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	struct create_plan *plan = &s->plan;
	AUTORECORD struct record *r = NULL;
	struct error none = { 0 };
	int ret = s->planned ? 0 : create_plan_make(f->params, plan, e);
	if (ret < 0)
		return ret;
	s->planned = true;
	if (plan->backing && !plan->p.backing_in_use && (ret = create_base_check(f->env, f->g, plan->backing, e)) < 0)
		return ret;
	int found = keystore_find_path(f->env->ks, plan->path, &r, &none);
	if (found < 0 && none.kind != ERROR_NOT_FOUND)
		return error_pass(e, &none);
	/* Under the lock it is ours, or somebody was faster. */
	if (found == 0 && !(f->locked && f->record && !uuid_compare(r->uuid, f->record->uuid)))
		return f->locked ? error_set(e, ERROR_EXISTS, EEXIST, "%s is a volume of the keystore already",
					     plan->path)
				 : check_same(f, plan, &r, e);
	if (plan->header && volume_path_taken(plan->header))
		return error_set(e, ERROR_EXISTS, EEXIST, "--header: %s exists already", plan->header);
	if (plan->header && (ret = volume_check_place(plan->header, (uid_t)-1, e)) < 0)
		return error_prefix(e, "--header");
	if (plan->device)
		return create_raw_check_device(plan, e);
	if (!volume_path_taken(plan->path))
		return volume_check_place(plan->path, plan->p.uid, e);
	return error_set(e, ERROR_EXISTS, EEXIST,
			 "%s exists already and is not in the keystore (`kvmcrypt import` takes in a LUKS volume)",
			 plan->path);
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

static int make_record(const struct create_plan *plan, const struct luks *luks, struct secret **passphrase,
		       struct secret **volume_key, struct record **ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = record_new(&r, e);
	if (result < 0)
		return result;
	r->path = strdup(plan->path);
	r->backing = plan->backing ? strdup(plan->backing) : NULL;
	r->header_path = plan->header ? strdup(plan->header) : NULL;
	r->integrity = plan->p.integrity ? strdup(plan->p.integrity) : NULL;
	if (!r->path || (plan->backing && !r->backing) || (plan->header && !r->header_path) ||
	    (plan->p.integrity && !r->integrity))
		return error_oom(e);
	r->format = volume_record_format(plan->p.format);
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
	if (*file) {
		(*file)->image = true;
		(*file)->owner = plan->p.uid;
	}
	if (*header)
		(*header)->image = true;
	r->beside = *file ? strdup((*file)->tmp) : NULL;
	return *file && !r->beside ? error_oom(e) : 0;
}

static int make(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	AUTOSECRET struct secret *passphrase = NULL;
	AUTOSECRET struct secret *volume_key = NULL;
	const struct luks_params lp = create_plan_params(&s->plan);
	int r = secret_generate_passphrase(&passphrase, e);
	if (r == 0)
		r = s->plan.integrity ? secret_random(luks_volume_key_len(&lp), &volume_key, e)
				      : luks_format(&lp, passphrase, LUKS_KDF_GENERATED, &s->luks, &volume_key, e);
	if (r == 0)
		r = make_record(&s->plan, s->luks, &passphrase, &volume_key, &f->record, e);
	return r < 0 ? r : plan_files(&s->plan, f->record, &s->file, &s->header, e);
}

/* ---- act ---- */

static int act_qcow2(struct flow *f, struct create_state *s, struct error *e)
{
	int r = file_new_open(s->file, e);
	if (r == 0)
		r = write_qcow2(f->env, &s->plan, s->luks, s->file->fd, e);
	return r < 0 ? r : volume_prove_new(f->record, s->file->tmp, e);
}

static int act(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	const struct create_raw raw = { f->env, &s->plan, &s->luks, s->file, s->header };
	int r = s->plan.p.format == IMAGE_FORMAT_RAW ? create_raw_build(&raw, f->record, e) : act_qcow2(f, s, e);
	if (r == 0 && s->file)
		r = set_owner(s->file->fd, &s->plan.p, e);
	/* The data's file is the last to appear: with it the volume is complete. */
	if (r == 0 && s->header)
		r = file_new_commit(s->header, false, e);
	return r < 0 || !s->file ? r : file_new_commit(s->file, false, e);
}

/* Of one that was interrupted the geometry is read from the finished file. */
static int complete(struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int ret = container_open(volume_header_path(r), volume_image_format(r), CONTAINER_CHANGE, &c, e);
	/* A LUKS2 header of which one copy had been written was made whole in memory. */
	if (ret == 0)
		ret = container_write_back(c, e);
	if (ret < 0)
		return ret;
	r->geometry.header_offset = container_info(c)->header_offset;
	r->geometry.header_length = container_info(c)->header_length;
	return 0;
}

static int commit(struct flow *f, struct error *e)
{
	int r = f->params ? 0 : complete(f->record, e);
	if (r < 0)
		return r;
	free(TAKE_PTR(f->record->beside));
	return 0;
}

/* ---- after an interruption ---- */

/* Renamed: it was synced and proven before, so only the record is behind. */
static int judge(struct flow *f, struct error *e)
{
	const struct record *r = f->record;
	struct image_look look = { 0 };
	struct error why = { 0 };
	bool unfinished = r->beside && volume_path_taken(r->beside);
	/* A detached header gets its name before the data does. */
	if (r->header_path && (unfinished || !volume_path_taken(r->path)))
		return FLOW_UNDO;
	if (flow_prove(f, &why) == 0)
		return FLOW_FINISH;
	if (why.kind == ERROR_FAILED)
		return error_pass(e, &why);
	if (image_look(r->path, &look, NULL) < 0 || uuid_compare(look.luks_uuid, r->luks_uuid) != 0)
		return FLOW_UNDO;
	/* Renamed and damaged since: the record may be what rebuilds its header. */
	flow_say(f, "%s", why.message);
	return FLOW_STUCK;
}

/* Only a name that create itself makes may be removed, whatever a record says. */
static void remove_temporary(const char *path)
{
	size_t len = strlen(path), n = strlen(FILE_NEW_SUFFIX);
	if (len > n && !strcmp(path + len - n, FILE_NEW_SUFFIX))
		unlink(path);
}

/* Without its data a detached header is of no use; it is ours if the record's key opens it. */
static int undo_detached(const struct record *r, struct error *e)
{
	int slot;
	AUTOFILE_NEW struct file_new *header = NULL;
	int ret = create_raw_plan_header(r->header_path, r->uuid, &header, e);
	if (ret < 0)
		return ret;
	remove_temporary(header->tmp);
	if (volume_prove(r, r->header_path, &slot, NULL) == 0)
		unlink(r->header_path);
	return 0;
}

static int undo(struct flow *f, struct error *e)
{
	const struct record *r = f->record;
	/* The kernel may still be writing to it for the one that died. */
	int ret = r->format == RECORD_FORMAT_RAW ? create_raw_unmap(r, e) : 0;
	if (ret == 0 && r->beside)
		remove_temporary(r->beside);
	return ret < 0 || !r->header_path ? ret : undo_detached(r, e);
}

const struct workflow workflow_create = {
	.name = "create",
	.begun = RECORD_CREATING,
	.flags = FLOW_NEW,
	.state_size = sizeof(struct create_state),
	.undone = "the image was not complete and was removed",
	.finished = "the image was complete",
	.done = "was made",
	.check = check,
	.make = make,
	.act = act,
	.commit = commit,
	.judge = judge,
	.undo = undo,
	.clear = clear,
};

/* Somebody is at it, or was: wait for the one, clean up after the other. */
static int settle_path(const struct volume_env *env, const struct volume_create *p, struct error *e)
{
	AUTOFREE char *path = NULL;
	int r = volume_new_path(p->path, &path, e);
	return r < 0 ? r : workflow_settle_path(env, NULL, path, e);
}

int volume_create(const struct volume_env *env, struct guest_connection *g, const struct volume_create *p,
		  struct record **ret, bool *ret_existed, struct error *e)
{
	const struct flow_call call = { .env = env, .g = g, .params = p, .dry_run = p->dry_run };
	int r = p->dry_run ? 0 : settle_path(env, p, e);
	if (r == 0)
		r = workflow_run(&workflow_create, &call, ret, ret_existed, e);
	/* Two pipelines at once: the one that came second finds the volume of the first. */
	if (r == -EEXIST && p->if_absent && !p->dry_run) {
		*e = (struct error){ 0 };
		r = settle_path(env, p, e);
		if (r == 0)
			r = workflow_run(&workflow_create, &call, ret, ret_existed, e);
	}
	return r;
}
