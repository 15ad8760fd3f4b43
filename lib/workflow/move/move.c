/*
 * The workflow of another place for a volume. Until the commit the record names the old place and after it the new one,
 * and both lead to the image for as long as anybody may still name either.
 */
#include "lib/workflow/move/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include "base/file.h"
#include "lib/guest/disk.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NO_NAME "reached to tell it the new place"

static bool is_live(const struct move_state *s)
{
	return s->n && s->pieces[0].how == MOVE_LIVE;
}

static bool is_noted(const struct move_state *s)
{
	bool all = true;
	for (size_t i = 0; i < s->n; i++)
		all = all && s->pieces[i].how == MOVE_NOTED;
	return all;
}

static const char *how_of(const struct move_state *s)
{
	static const char *const names[] = {
		[MOVE_RENAME] = "rename", [MOVE_COPY] = "copy", [MOVE_NOTED] = "noted", [MOVE_LIVE] = "live",
	};
	return names[s->n ? s->pieces[0].how : MOVE_NOTED];
}

/* ---- check ---- */

/* What was said to be it, and is another image. */
static int not_it(const struct record *r, const char *path, const struct error *why, struct error *e)
{
	return error_set(e, ERROR_EXISTS, EEXIST, "%s is there, but it is not volume %s: %.500s", path, r->path,
			 why->message);
}

/* Beside a detached header nothing in the data tells whose it is. */
static int open_data(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	const struct record *r = f->record;
	const char *path = move_path_now(f, false);
	AUTOCLOSE int fd = -1;
	uint64_t size;
	int result = image_open(path, f->locked, &fd, &size, e);
	if (result == 0 && f->locked)
		result = image_lock(fd, path, e);
	if (result == 0 && strcmp(path, r->path) != 0 && (size < r->size || (!r->integrity && size != r->size)))
		result = error_set(e, ERROR_EXISTS, EEXIST, "%s is there, but it is not volume %s: its size is another",
				   path, r->path);
	if (result == 0)
		s->data = TAKE_FD(fd);
	return result;
}

/* Open and locked from here to the end, wherever it lies now. */
static int open_image(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	const struct record *r = f->record;
	struct error why = { 0 };
	const char *path = move_path_now(f, true);
	bool noted = is_noted(s);
	if (!f->locked && image_is_in_use(path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", path);
	enum container_mode mode = f->locked && !is_live(s) ? CONTAINER_CHANGE : CONTAINER_LOOK;
	int result = container_open(path, volume_image_format(r), mode, &s->image, &why);
	if (result == -EMEDIUMTYPE && noted)
		return not_it(r, path, &why, e);
	if (result < 0)
		return error_pass(e, &why);
	if (volume_check_binding(r, luks_info(container_luks(s->image)), &why) < 0)
		return noted ? not_it(r, path, &why, e) : error_pass(e, &why);
	return r->header_path ? open_data(f, e) : 0;
}

static int check_users(struct flow *f, struct error *e)
{
	const struct move_state *s = f->state;
	const struct volume_move *p = f->params;
	const struct record *r = f->record;
	int result = volume_check_unmapped(r, e);
	if (result < 0)
		return result;
	if (f->locked && r->state == RECORD_LINKED)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "a guest runs with %s since a live change of its volume key: it can be moved after "
				 "its restart",
				 r->path);
	if (f->guest && !p->live)
		return error_set(e, ERROR_BUSY, EBUSY, "domain %s runs with %s: stop it first, or give --live",
				 flow_guest_name(f), r->path);
	if (f->guest && !is_live(s))
		return error_set(e, ERROR_BUSY, EBUSY,
				 "domain %s runs with %s, which was moved under it: stop it first",
				 flow_guest_name(f), r->path);
	return 0;
}

/* Has the image's own header room for the name that its backing file is to have? */
static int check_backing(struct flow *f, struct error *e)
{
	const struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	AUTOFREE char *name = NULL;
	if (!p || !s->image || f->record->format != RECORD_FORMAT_QCOW2)
		return 0;
	int r = move_backing(f->record, p->to, &container_info(s->image)->qcow2, &name, e);
	return r < 0 || !name ? r : qcow2_set_backing(container_fd(s->image), p->to, name, true, e);
}

static void tell(struct flow *f)
{
	const struct move_state *s = f->state;
	struct volume_moved *done = f->result;
	done->changed = !f->unchanged;
	done->how = f->unchanged ? NULL : how_of(s);
	snprintf(done->from, sizeof(done->from), "%s", f->record->path);
	snprintf(done->domain, sizeof(done->domain), "%s", is_live(s) ? flow_guest_name(f) : "");
}

static int check(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	const struct volume_move *p = f->params;
	const struct record *r = f->record;
	bool stale = false;
	int result =
		p->without_libvirt ? 0 : volume_check_libvirt(f->g, r, NO_NAME " (--no-libvirt goes on without)", e);
	if (result < 0)
		return result;
	/* An interrupted one has left files at both places, and is settled first. */
	if (!f->locked && !volume_is_ready(r))
		return f->dry_run ? volume_check_ready(r, e) : 0;
	result = flow_find_guest(f, e);
	if (result == 0)
		result = move_plan(f, e);
	if (result == 0 && s->n)
		result = check_users(f, e);
	if (result == 0 && s->n && !is_live(s))
		result = open_image(f, e);
	if (result == 0)
		result = check_backing(f, e);
	if (result == 0)
		result = move_names_check(f, &stale, e);
	if (result < 0)
		return result;
	f->unchanged = !s->n && !stale;
	tell(f);
	return 0;
}

/* ---- the way there ---- */

static int intend(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	struct record_work *w = &f->record->work;
	char text[37];
	uuid_t domain;
	int r = move_note(f, e);
	if (r < 0 || !is_live(s))
		return r;
	virDomainGetUUID(f->guest, domain);
	uuid_unparse_lower(domain, text);
	return asprintf(&w->params, "\"%s\"", text) < 0 ? w->params = NULL, error_oom(e) : 0;
}

/* Those that are copied first: of them nothing is at its new place for good before all are. */
static int act(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	int r = 0;
	for (int copies = 1; copies >= 0; copies--)
		for (size_t i = 0; i < s->n && r == 0; i++)
			if ((s->pieces[i].how == MOVE_COPY) == copies)
				r = move_place(f, &s->pieces[i], e);
	return r;
}

static int prove(struct flow *f, struct error *e)
{
	const struct move_state *s = f->state;
	const struct record *r = f->record;
	struct error why = { 0 };
	const struct move_piece *p = move_piece_of(s, r->header_path != NULL);
	int slot, result = s->n ? volume_prove(r, p ? p->to : volume_header_path(r), &slot, &why) : 0;
	/* Its volume key is known, so its keyslot can be made anew. */
	if (result < 0 && why.kind == ERROR_BAD_KEY && is_noted(s)) {
		flow_note(f,
			  "%s has the volume key, but does not open with the keystore's passphrase: `kvmcrypt header "
			  "restore`",
			  p ? p->to : r->path);
		return 0;
	}
	if (result == 0 && r->header_path && s->n && s->pieces[0].how == MOVE_NOTED && !s->pieces[0].header)
		flow_note(f, "nothing in %s tells that it is the data of this volume; its size is right",
			  s->pieces[0].to);
	return result < 0 ? error_pass(e, &why) : 0;
}

static int set_path(char **path, const char *to, struct error *e)
{
	char *copy = strdup(to);
	if (!copy)
		return error_oom(e);
	free(*path);
	*path = copy;
	return 0;
}

static int commit(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	struct volume_moved *done = f->result;
	struct record *r = f->record;
	int result = move_read(f, e);
	/* As it came to be. */
	if (result == 0 && done)
		done->how = how_of(s);
	for (size_t i = 0; i < s->n && result == 0; i++) {
		const struct move_piece *p = &s->pieces[i];
		result = move_switch(p, e);
		if (result == 0)
			result = file_sync_dir_of(p->to, e);
		if (result == 0)
			result = set_path(p->header ? &r->header_path : &r->path, p->to, e);
	}
	if (result == 0 && is_live(s))
		result = volume_prove_new(r, r->path, e);
	if (result == 0)
		result = move_backing_noted(f->env->ks, r, e);
	for (size_t i = 0; i < f->n_others && result == 0; i++) {
		result = set_path(&f->others[i].hold.record->backing, r->path, e);
		f->others[i].changed = true;
	}
	return result;
}

static int finish(struct flow *f, struct error *e)
{
	const struct move_state *s = f->state;
	struct record *r = f->record;
	int result = move_read(f, e);
	if (result == 0 && !(r->work.step & MOVE_WITHOUT_LIBVIRT))
		result = volume_check_libvirt(f->g, r,
					      NO_NAME ", where it is already: `kvmcrypt recover` with libvirt ends the "
						      "move",
					      e);
	if (result == 0)
		result = move_names(f, e);
	for (size_t i = 0; i < s->n && result == 0; i++)
		result = move_remove_old(f, &s->pieces[i], e);
	return result;
}

/* ---- after an interruption ---- */

/* A guest that was started meanwhile by the old name keeps it until it stops. */
static int is_named_by_guest(struct flow *f, bool *ret, struct error *e)
{
	struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	struct guest_domain_xml xml = { 0 };
	*ret = false;
	int r = p && p->how != MOVE_NOTED
			? flow_find_guest(f, e) : 0;
	if (r == 0 && f->guest)
		r = guest_domain_xml(f->guest, &xml, e);
	if (r == 0 && f->guest)
		*ret = guest_disk_mentions(xml.live, p->from, false);
	guest_domain_xml_clear(&xml);
	return r;
}

static int judge_committed(struct flow *f, struct error *e)
{
	bool named;
	int r = is_named_by_guest(f, &named, e);
	if (r < 0 || !named)
		return r < 0 ? r : FLOW_FINISH;
	flow_say(f, "it is at its new place; a guest that runs with it knows the old one until it stops");
	return FLOW_LATER;
}

static int judge(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	bool any = false;
	int slot, r = move_read(f, e);
	if (r == 0 && f->record->state == RECORD_MOVED_IN_PLACE)
		return judge_committed(f, e);
	for (size_t i = 0; i < s->n && r == 0 && !any; i++) {
		r = move_is_switched(&s->pieces[i], &any, e);
		if (r == 0 && !any && s->pieces[i].how == MOVE_LIVE)
			r = move_live_judge(f, &any, e);
	}
	if (r < 0)
		return r;
	if (!any && s->n && is_noted(s))
		any = volume_prove(f->record, move_path_now(f, true), &slot, NULL) == 0;
	return any ? FLOW_FINISH : FLOW_UNDO;
}

static int undo(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	int r = move_read(f, e);
	for (size_t i = 0; i < s->n && r == 0; i++)
		r = move_take_back(&s->pieces[i], e);
	return r;
}

const struct workflow workflow_move = {
	.name = "move",
	.begun = RECORD_MOVING,
	.committed = RECORD_MOVED_IN_PLACE,
	.flags = FLOW_HERE | FLOW_NOTES,
	.state_size = sizeof(struct move_state),
	.undone = "the volume is where it was",
	.finished = "the volume is at its new place",
	.kept = "stays where it is",
	.done = "is at its new place",
	.others = move_others,
	.check = check,
	.intend = intend,
	.act = act,
	.prove = prove,
	.commit = commit,
	.finish = finish,
	.undo = undo,
	.judge = judge,
	.clear = move_clear,
};

int volume_move(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		const struct volume_move *p, struct volume_moved *ret, struct record **ret_record, struct error *e)
{
	struct volume_moved done = { 0 };
	const struct flow_call call = {
		.env = env, .g = g, .volume = volume, .params = p, .result = &done, .dry_run = p->dry_run,
	};
	int r = workflow_run(&workflow_move, &call, ret_record, NULL, e);
	if (r == 0)
		*ret = done;
	return r;
}
