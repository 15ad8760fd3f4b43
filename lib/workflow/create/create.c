#include "lib/workflow/create/base.h"
#include "lib/workflow/create/plan.h"
#include "lib/workflow/create/raw.h"
#include "lib/volume/internal.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* In record.work: the detached header before it has its name. */
enum { HEADER_FILE = 1 };

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
	int ret = s->planned ? 0 : create_plan_make(f->params, plan, e);
	if (ret < 0)
		return ret;
	s->planned = true;
	if (plan->backing && !plan->p.backing_in_use && (ret = create_base_check(f->env, f->g, plan->backing, e)) < 0)
		return ret;
	if ((ret = volume_at(f->env->ks, plan->path, &r, e)) < 0)
		return ret;
	/* Under the lock it is ours, or somebody was faster. */
	if (r && !(f->locked && f->record && !uuid_compare(r->uuid, f->record->uuid)))
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

/* Where the image and a detached header are made, before they have their names. */
static int plan_files(struct create_state *s, struct record *r, struct error *e)
{
	int ret = s->plan.device ? 0 : file_new_plan(s->plan.path, &s->file, e);
	if (ret == 0 && s->plan.header)
		ret = file_new_plan(s->plan.header, &s->header, e);
	/* `beside` is the data's; the header's is noted where recover finds it, too. */
	r->work.version = s->header ? RECORD_WORK_VERSION : 0;
	r->work.number = s->header ? RECORD_CREATING : 0;
	if (ret == 0 && s->header)
		ret = record_work_file(&r->work, HEADER_FILE, s->header->tmp, 0, 0, e);
	if (ret < 0)
		return ret;
	if (s->file) {
		s->file->image = true;
		s->file->owner = s->plan.p.uid;
	}
	if (s->header)
		s->header->image = true;
	r->beside = s->file ? strdup(s->file->tmp) : NULL;
	return s->file && !r->beside ? error_oom(e) : 0;
}

static int make(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	const struct create_plan *plan = &s->plan;
	const struct luks_params lp = create_plan_params(plan);
	int result = volume_new_record(plan->path, plan->header, plan->p.integrity, plan->backing, &f->record, e);
	struct record *r = f->record;
	if (result == 0)
		result = secret_generate_passphrase(&r->passphrase, e);
	if (result == 0)
		result = plan->integrity
				 ? secret_random(luks_volume_key_len(&lp), &r->volume_key, e)
				 : luks_format(&lp, r->passphrase, LUKS_KDF_GENERATED, &s->luks, &r->volume_key, e);
	if (result < 0)
		return result;
	r->format = volume_record_format(plan->p.format);
	r->size = plan->p.size;
	if (s->luks)
		volume_fill_from_luks(r, luks_info(s->luks), 0, luks_info(s->luks)->data_offset);
	else
		fill_from_plan(plan, r);
	result = volume_note_parent(f->env->ks, r, plan->backing_format, e);
	return result < 0 ? result : plan_files(s, r, e);
}

/* ---- act ---- */

static int act_qcow2(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	const struct create_plan *plan = &s->plan;
	size_t len = luks_len(s->luks);
	uint64_t offset;
	const struct qcow2_params q = {
		.size = plan->p.size,
		.cluster_size = plan->p.cluster_size,
		.prealloc = plan->p.prealloc,
		.backing = plan->backing,
		.backing_format = plan->backing_format,
	};
	int r = file_new_open(s->file, e);
	if (r == 0)
		r = qcow2_write(s->file->fd, &q, len, f->env->progress, &offset, e);
	if (r == 0)
		r = luks_write_used(s->luks, 0, len, s->file->fd, offset, plan->p.path, e);
	return r < 0 ? r : volume_prove_new(f->record, s->file->tmp, e);
}

static int act(struct flow *f, struct error *e)
{
	struct create_state *s = f->state;
	int r = s->plan.p.format == IMAGE_FORMAT_RAW ? create_raw_build(f, e) : act_qcow2(f, e);
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
	record_work_clear(&f->record->work);
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
		walk_remove(path, NULL);
}

/* Without its data a detached header is of no use; it is ours if the record's key opens it. */
static int undo_detached(const struct record *r, struct error *e)
{
	int slot;
	for (size_t i = 0; i < r->work.n_files; i++)
		if (r->work.files[i].role == HEADER_FILE)
			remove_temporary(r->work.files[i].path);
	return volume_prove(r, r->header_path, &slot, NULL) == 0 ? walk_remove(r->header_path, e) : 0;
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

int volume_create(const struct volume_env *env, struct guest_connection *g, const struct volume_create *p,
		  struct record **ret, bool *ret_existed, struct error *e)
{
	const struct flow_call call = { .env = env, .g = g, .params = p, .dry_run = p->dry_run };
	/* Somebody is at it, or was: wait for the one, clean up after the other. */
	int r = p->dry_run ? 0 : workflow_settle_path(env, NULL, p->path, e);
	if (r == 0)
		r = workflow_run(&workflow_create, &call, ret, ret_existed, e);
	/* Two pipelines at once: the one that came second finds the volume of the first. */
	if (r == -EEXIST && p->if_absent && !p->dry_run) {
		*e = (struct error){ 0 };
		r = workflow_settle_path(env, NULL, p->path, e);
		if (r == 0)
			r = workflow_run(&workflow_create, &call, ret, ret_existed, e);
	}
	return r;
}
