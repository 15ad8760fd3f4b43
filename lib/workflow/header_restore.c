/* A lost LUKS header is made anew from the record, in the place of the lost one. */
#include "lib/volume/header.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"
#include "base/walk.h"
#include "lib/image/container_restore.h"
#include "lib/volume/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* record.work.step: nothing was written yet; the record has the digest of the new header, of which some may be there */
enum { BEGUN = 1, WRITING = 2 };

struct restore_state {
	struct header_state found;
};

/* What is overwritten may be all that a person's own passphrase still opens. */
static int keep_old(const struct container_region *region, const char *backup, struct error *e)
{
	AUTOFREE unsigned char *bytes = NULL;
	if (!backup)
		return 0;
	int r = container_region_read(region, &bytes, e);
	return r < 0 ? r : file_write_atomic(backup, bytes, region->length, 0600, false, e);
}

/* A detached header's file may be lost altogether. */
static int make_file(const struct container_region *region, struct error *e)
{
	AUTOWALK struct walk w = WALK_NONE;
	int r = walk_name(region->path, &w, e);
	if (r == 0)
		r = walk_check_new(&w, (uid_t)-1, e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = openat(w.dir, walk_last(&w), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", region->path);
	if (ftruncate(fd, (off_t)region->length) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", region->path);
	r = file_sync(fd, region->path, e);
	return r < 0 ? r : walk_sync(&w, e);
}

/* A header with one volume key makes what has the other unreadable, and which that is the old one knew. */
static int refuse_two_keys(const struct record *r, const struct header_state *found, struct error *e)
{
	bool ours = volume_state_flags(r->state) & STATE_TWO_KEYS;
	if (ours && r->beside)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "%s has a copy under a new volume key beside it: run `kvmcrypt recover`", r->path);
	if (found->condition == HEADER_REENCRYPTING)
		return error_set(e, ERROR_REFUSED, EINPROGRESS,
				 "the header of %s says that a re-encryption is under way: it has to be finished %s",
				 r->path, ours ? "(`kvmcrypt recover`)" : "by the program that began it");
	if (ours)
		return error_set(e, ERROR_REFUSED, EINPROGRESS,
				 "%s was being re-encrypted in place, and its lost header alone knew which part has "
				 "which volume key: restore that from a backup",
				 r->path);
	return 0;
}

static int refuse(const struct record *r, const struct header_state *found, const struct header_restore *p,
		  struct error *e)
{
	int result = refuse_two_keys(r, found, e);
	if (result < 0)
		return result;
	if (found->condition == HEADER_FOREIGN && !found->have_info && !p->foreign)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "the LUKS header of %s is whole, but not what we accept (%s); --overwrite-foreign "
				 "destroys it",
				 volume_header_path(r), found->problem);
	if (found->condition == HEADER_FOREIGN && !p->foreign)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s holds a whole LUKS header of another volume or key; --overwrite-foreign destroys "
				 "that one",
				 volume_header_path(r));
	if (found->condition == HEADER_MISSING && !r->header_path)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "%s is not there: without its data there is nothing to restore", r->path);
	if (!r->volume_key || !r->geometry.header_length)
		return error_set(e, ERROR_FAILED, ENODATA, "the keystore has no volume key of %s", r->path);
	return 0;
}

/* A whole header of the volume that only lacks our keyslot gets one: it keeps all others. */
static int add_our_keyslot(const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = volume_open_header(r, CONTAINER_CHANGE, &c, e);
	return result < 0 ? result : container_add_keyslot(c, r->volume_key, r->passphrase, LUKS_KDF_GENERATED, e);
}

/* What can be read of others' keyslots stays; ours is among them, or comes to them. */
static int keep_keyslots(const struct volume_env *env, const struct record *r, const struct header_state *found,
			 struct luks **l, struct error *e)
{
	AUTOFREE unsigned char *old = NULL;
	AUTOLUKS struct luks *ours = NULL;
	const struct container_region region = header_region(r);
	int kept, slot;
	/* Of the same volume; or of one whose digest is what is damaged. */
	if (found->condition != HEADER_DAMAGED &&
	    !(found->condition == HEADER_FOREIGN && found->have_info && !uuid_compare(found->info.uuid, r->luks_uuid)))
		return 0;
	int result = container_region_read(&region, &old, e);
	if (result == 0)
		result = luks1_keep(l, old, region.length, &kept, e);
	if (result < 0 || !kept)
		return result;
	struct error why = { 0 };
	if (volume_cheap_slot(*l, r->passphrase) >= 0)
		return 0;
	result = luks_add_keyslot(*l, -1, r->volume_key, r->passphrase, LUKS_KDF_GENERATED, &slot, &why);
	if (result == 0) {
		volume_note(env, "%d keyslot%s of the damaged header of %s kept", kept, kept == 1 ? " is" : "s are",
			    r->path);
		return 0;
	}
	/* All in use: without ours the volume would be lost to the keystore. */
	result = header_build(r, r->volume_key, &ours, e);
	if (result < 0)
		return result;
	luks_free(*l);
	*l = TAKE_PTR(ours);
	volume_note(env, "the other keyslots of %s cannot be kept: %s", r->path, why.message);
	return 0;
}

/* ---- check ---- */

/*
 * Where the header was can be read, and so written: a qcow2 whose own header is gone has no such place, nor has a file
 * of another size. Where no header is, something else may be.
 */
static int check_place(const struct record *r, const struct header_state *found, const struct header_restore *p,
		       struct error *e)
{
	AUTOFREE unsigned char *bytes = NULL;
	const struct container_region region = header_region(r);
	char what[64] = "";
	if (found->condition == HEADER_MISSING)
		return 0;
	int result = container_region_read(&region, &bytes, e);
	if (result == 0 && found->condition == HEADER_GONE && !p->foreign)
		result = container_region_holds(&region, what, sizeof(what), e);
	if (result == 0 && what[0])
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s carries something else (%s), and may be another file; --overwrite-foreign "
				 "destroys it",
				 region.path, what);
	return result;
}

static int check(struct flow *f, struct error *e)
{
	struct restore_state *s = f->state;
	const struct header_restore *p = f->params;
	int result = f->record->revealed ? 0 : keystore_peek(f->env->ks, f->record, e);
	if (result == 0)
		result = header_look(f->record, &s->found, e);
	if (result < 0)
		return result;
	*(struct header_state *)f->result = s->found;
	f->unchanged = s->found.condition == HEADER_GOOD;
	if (f->unchanged)
		return 0;
	/* It lies in the record where another workflow has what it needs to end; a rotation's is about the old
	   header. */
	if (f->record->work.version && f->record->work.number != RECORD_RESTORING &&
	    f->record->work.number != RECORD_ROTATING)
		return volume_check_ready(f->record, e);
	if (p->confirmed && p->confirmed->condition != s->found.condition)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "the header of %s is %s now, and was %s when that was confirmed: look again",
				 f->record->path, header_condition_name(s->found.condition),
				 header_condition_name(p->confirmed->condition));
	result = refuse(f->record, &s->found, p, e);
	return result < 0 ? result : check_place(f->record, &s->found, p, e);
}

/* ---- the way there ---- */

static int intend(struct flow *f, struct error *e)
{
	const struct restore_state *s = f->state;
	const struct header_restore *p = f->params;
	struct record *r = f->record;
	const struct container_region region = header_region(r);
	int result = s->found.condition == HEADER_MISSING ? 0 : keep_old(&region, p->backup, e);
	r->work.step = BEGUN;
	r->work.mark = r->state;
	return result;
}

/* The record first: it has the digest of the header that is about to be there. */
static int act(struct flow *f, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	struct restore_state *s = f->state;
	struct record *r = f->record;
	const struct container_region region = header_region(r);
	if (s->found.condition == HEADER_LOCKED)
		return add_our_keyslot(r, e);
	int result = header_build(r, r->volume_key, &l, e);
	if (result == 0)
		result = keep_keyslots(f->env, r, &s->found, &l, e);
	if (result == 0 && s->found.condition == HEADER_MISSING)
		result = make_file(&region, e);
	if (result < 0)
		return result;
	volume_fill_from_luks(r, luks_info(l), region.offset, region.length);
	r->recovery_slots = 0;
	r->work.step = WRITING;
	result = flow_store(f, "header-restore-write", e);
	return result < 0 ? result : header_write(r, l, e);
}

/* An interrupted rotation or resize, which could not end without a header, is what it was. */
static int commit(struct flow *f, struct error *e)
{
	struct record *r = f->record;
	(void)e;
	r->state = r->work.mark ? (enum record_state)r->work.mark : RECORD_READY;
	record_work_clear(&r->work);
	return 0;
}

/* ---- after an interruption ---- */

static int judge(struct flow *f, struct error *e)
{
	struct restore_state *s = f->state;
	int result = header_look(f->record, &s->found, e);
	if (result < 0)
		return result;
	if (s->found.condition == HEADER_GOOD)
		return FLOW_FINISH;
	return f->record->work.step == BEGUN ? FLOW_UNDO : FLOW_RESUME;
}

const struct workflow workflow_header_restore = {
	.name = "header-restore",
	.begun = RECORD_RESTORING,
	.flags = FLOW_NOTES,
	.state_size = sizeof(struct restore_state),
	.undone = "the header is as it was found",
	.finished = "the header is restored",
	.kept = "has the header that it had",
	.done = "has a new header",
	.check = check,
	.intend = intend,
	.act = act,
	.prove = flow_prove,
	.commit = commit,
	.judge = judge,
	.undo = commit,
};

int volume_header_restore(const struct volume_env *env, const uuid_t volume, const struct header_restore *p,
			  struct header_state *ret_found, bool *ret_changed, struct error *e)
{
	bool unchanged = false;
	/* What else is unfinished may need the header before it can end. */
	const struct flow_call call = {
		.env = env, .volume = volume, .params = p, .result = ret_found, .dry_run = p->dry_run, .as_it_is = true,
	};
	int r = workflow_run(&workflow_header_restore, &call, NULL, &unchanged, e);
	if (r == 0)
		*ret_changed = !unchanged;
	return r;
}
