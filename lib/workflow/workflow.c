#include "lib/workflow/internal.h"
#include "lib/volume/internal.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct workflow *workflow_of(uint32_t number)
{
	static const struct workflow *const table[] = {
#define STATE(number, shown, flags, name) [number] = &workflow_##name,
		VOLUME_STATES(STATE, STATE)
#undef STATE
	};
	return number < ARRAY_LEN(table) ? table[number] : NULL;
}

/* ---- a flow ---- */

int flow_begin(struct flow *f, const struct workflow *w, struct error *e)
{
	f->workflow = w;
	f->state = calloc(1, w->state_size ? w->state_size : 1);
	return f->state ? 0 : error_oom(e);
}

void flow_end(struct flow *f)
{
	if (f->state && f->workflow->clear)
		f->workflow->clear(f->state);
	free(TAKE_PTR(f->state));
	if (f->guest)
		virDomainFree(TAKE_PTR(f->guest));
}

static void flow_free(struct flow *f)
{
	flow_end(f);
	flow_release_others(f);
	record_free(TAKE_PTR(f->record));
}

int flow_do(struct flow *f, flow_step step, struct error *e)
{
	return step ? step(f, e) : 0;
}

void flow_say(struct flow *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
	va_end(ap);
}

int flow_find_guest(struct flow *f, struct error *e)
{
	return f->guest ? 0 : volume_find_guest(f->g, f->record, &f->guest, f->target, sizeof(f->target), e);
}

const char *flow_guest_name(const struct flow *f)
{
	return f->guest ? virDomainGetName(f->guest) : "";
}

int flow_prove(struct flow *f, struct error *e)
{
	int slot;
	return volume_prove(f->record, volume_header_path(f->record), &slot, e);
}

int flow_store(struct flow *f, const char *action, struct error *e)
{
	/* A link beside the image outlives the workflow that made it. */
	if (!f->gone && f->record->state == RECORD_READY && volume_state_of(f->record) == RECORD_LINKED)
		f->record->state = RECORD_LINKED;
	int r = flow_apply(f, action, f->detail[0] ? f->detail : f->record->path, e);
	if (r == 0 && f->gone)
		record_free(TAKE_PTR(f->record));
	return r;
}

int flow_store_as(struct flow *f, const char *suffix, struct error *e)
{
	char action[64];
	snprintf(action, sizeof(action), "%s%s", f->workflow->name, suffix);
	return flow_store(f, action, e);
}

/* ---- the steps ---- */

void flow_leave(struct flow *f, uint32_t next)
{
	if (!next && f->workflow->flags & FLOW_NOTES)
		record_work_clear(&f->record->work);
	f->record->state = next ? next : RECORD_READY;
}

int flow_commit(struct flow *f, struct error *e)
{
	const struct workflow *w = f->workflow;
	int r = flow_do(f, w->commit, e);
	if (r == 0 && !f->gone)
		volume_learn(f->record);
	if (r == 0 && f->record->state == w->begun)
		flow_leave(f, w->committed);
	return r < 0 ? r : flow_store_as(f, "", e);
}

int flow_act(struct flow *f, struct error *e)
{
	int r = flow_do(f, f->workflow->act, e);
	if (r == 0)
		r = flow_do(f, f->workflow->prove, e);
	return r < 0 ? r : flow_commit(f, e);
}

/* Or it is in what another workflow had begun, which is not for finish() but to be judged. */
static bool is_finished(const struct flow *f)
{
	if (!f->record || volume_is_ready(f->record))
		return true;
	const struct workflow *w = workflow_of(f->record->state);
	return !w || (w != f->workflow && f->record->state != w->committed);
}

/* A commit may leave the rest to another workflow: after a new volume key the old passphrase is to be retired. */
static int enter(struct flow *f, struct error *e)
{
	const struct workflow *w = workflow_of(f->record->state);
	if (w == f->workflow)
		return 0;
	flow_end(f);
	f->params = f->result = NULL;
	return flow_begin(f, w, e);
}

int flow_finish(struct flow *f, struct error *e)
{
	int r = 0;
	while (r == 0 && !is_finished(f)) {
		uint32_t was = f->record->state;
		r = enter(f, e);
		if (r == 0)
			r = flow_do(f, f->workflow->finish, e);
		if (r == 0 && f->record->state == was)
			flow_leave(f, 0);
		if (r == 0)
			r = flow_store_as(f, "-end", e);
	}
	return r;
}

static int begin(struct flow *f, struct error *e)
{
	if (f->workflow->flags & FLOW_NOTES) {
		record_work_clear(&f->record->work);
		f->record->work.version = RECORD_WORK_VERSION;
		f->record->work.number = f->workflow->begun;
	}
	int r = flow_do(f, f->workflow->intend, e);
	if (r < 0 || !f->workflow->begun)
		return r;
	f->record->state = f->workflow->begun;
	return flow_store_as(f, "-begin", e);
}

/* ---- after a failure ---- */

static bool is_kept(const struct flow *f, const struct error *why)
{
	return f->workflow->flags & FLOW_KEEP_WORK && (f->resumed || why->err == ECANCELED);
}

/*
 * What is stored counts, not what a call said. The image's locks are given up first: what is judged is what
 * anybody would find.
 */
static int take_back(struct flow *f, struct volume_hold *h, const char *path, struct error *e)
{
	const struct workflow *w = f->workflow;
	enum flow_outcome outcome = FLOW_NOTHING;
	struct error why = { 0 };
	char detail[512];
	bool kept = is_kept(f, e);
	flow_end(f);
	flow_release_others(f);
	record_free(TAKE_PTR(f->record));
	int r = keystore_get(f->env->ks, h->uuid, &h->record, &why);
	if (r == -ENOENT)
		return w->flags & FLOW_NEW ? -e->err : error_prefix(e, "%s %s, in spite of", path, w->done);
	if (r == 0 && kept && !volume_is_ready(h->record))
		return error_prefix(e, "%s %s for now; the work done is kept for the next run", path, w->kept);
	if (r == 0)
		r = keystore_reveal(f->env->ks, &h->record, 1, w->name, NULL, &why);
	if (r == 0)
		r = workflow_settle(f->env, f->g, h, false, &outcome, detail, &why);
	if (r < 0 || outcome == FLOW_NEEDS_PERSON || outcome == FLOW_HALFWAY)
		return error_prefix(e, "%s is left in the middle of it: run `kvmcrypt recover` (%s)", path,
				    r < 0 ? why.message : detail);
	if (outcome == FLOW_FINISHED && w->done)
		return error_prefix(e, "%s %s, in spite of", path, w->done);
	return w->kept ? error_prefix(e, "%s %s", path, w->kept) : -e->err;
}

/* ---- the run ---- */

/* A record that is in this very workflow goes on; one that is in another is brought to its end first. */
static int settle_older(struct flow *f, const struct flow_call *call, struct volume_hold *h, struct error *e)
{
	const struct workflow *w = f->workflow, *older = workflow_of(volume_state_of(h->record));
	f->resumed = older == w && w->flags & FLOW_KEEP_WORK && h->record->state == w->begun;
	if (f->resumed && w->resumable) {
		struct flow held = { .env = f->env, .g = f->g, .record = h->record };
		f->resumed = w->resumable(&held);
		flow_end(&held);
	}
	if (f->resumed || (call->as_it_is && older != w))
		return 0;
	/* Hours of work are neither thrown away nor gone on with by the way. */
	if (older && older != w && older->flags & FLOW_KEEP_WORK)
		return volume_check_ready(h->record, e);
	/* It holds its own others, which may be ours as well. */
	if (older)
		flow_release_others(f);
	return workflow_settle_for(f->env, f->g, h, e);
}

/* Of a new volume the record was made by the first look, and what that found stays in the state. */
static int check_again(struct flow *f, const struct flow_call *call, struct volume_hold *h, struct error *e)
{
	int r = 0;
	f->locked = true;
	if (!(f->workflow->flags & FLOW_NEW)) {
		if ((r = settle_older(f, call, h, e)) < 0)
			return r;
		record_free(f->record);
		f->record = TAKE_PTR(h->record);
		flow_end(f);
		r = flow_begin(f, f->workflow, e);
		if (r == 0)
			r = flow_hold_others(f, e);
	}
	return r < 0 ? r : flow_do(f, f->workflow->check, e);
}

static int settle_rest(struct flow *f, struct volume_hold *h, struct error *e)
{
	if (!f->record || volume_is_ready(f->record))
		return 0;
	flow_end(f);
	h->record = TAKE_PTR(f->record);
	int r = workflow_settle_for(f->env, f->g, h, e);
	f->record = TAKE_PTR(h->record);
	return r;
}

static int run_locked(struct flow *f, const struct flow_call *call, struct volume_hold *h, struct error *e)
{
	int r = check_again(f, call, h, e);
	if (r < 0 || f->unchanged)
		return r;
	AUTOFREE char *path = strdup(f->record->path);
	if (!path)
		return error_oom(e);
	const struct workflow *w = f->workflow;
	r = f->resumed ? 0 : begin(f, e);
	if (r == 0)
		r = flow_act(f, e);
	if (r < 0)
		return take_back(f, h, path, e);
	r = flow_finish(f, e);
	if (r == 0)
		r = settle_rest(f, h, e);
	return r < 0 ? error_prefix(e, "%s %s, but not all is done: run `kvmcrypt recover`", path, w->done) : 0;
}

static int hold(struct flow *f, const struct flow_call *call, struct volume_hold *h, struct error *e)
{
	if (!(f->workflow->flags & FLOW_NEW))
		return flow_hold(f, call->volume, h, e);
	uuid_copy(h->uuid, f->record->uuid);
	/* Nobody has it but a change of the whole keystore. */
	return volume_lock(call->env->ks, f->record->uuid, true, &h->lock, e);
}

/* Of a volume in the middle of something else nothing can be said before that is settled. */
static int first_check(struct flow *f, const struct flow_call *call, struct error *e)
{
	uint32_t number = f->record ? volume_state_of(f->record) : RECORD_READY;
	bool other = number != RECORD_READY && number != RECORD_LINKED && workflow_of(number) != f->workflow;
	if (other && !call->as_it_is)
		return f->dry_run ? volume_check_ready(f->record, e) : 0;
	return flow_do(f, f->workflow->check, e);
}

static int first_look(struct flow *f, const struct flow_call *call, struct error *e)
{
	int r = call->volume ? keystore_get(call->env->ks, call->volume, &f->record, e) : 0;
	if (r == 0 && call->volume)
		r = volume_check_here(f->record, e);
	if (r == 0)
		r = first_check(f, call, e);
	if (r == 0 && f->workflow->flags & FLOW_NEW && !f->unchanged)
		r = flow_do(f, f->workflow->make, e);
	return r;
}

int workflow_run(const struct workflow *w, const struct flow_call *call, struct record **ret_record,
		 bool *ret_unchanged, struct error *e)
{
	CLEANUP(flow_free) struct flow f = {
		.workflow = w, .env = call->env, .g = call->g, .params = call->params, .result = call->result,
		.dry_run = call->dry_run,
	};
	AUTOHOLD struct volume_hold own = VOLUME_HOLD_NONE;
	struct volume_hold *h = call->hold ? call->hold : &own;
	int r = w->flags & FLOW_HERE ? guest_require_here(call->g, call->env->shared_storage, e) : 0;
	if (r == 0)
		r = flow_begin(&f, w, e);
	if (r == 0)
		r = first_look(&f, call, e);
	if (r < 0)
		return r;
	if (!call->dry_run && !(f.unchanged && w->flags & FLOW_NEW)) {
		r = call->hold ? flow_hold_others(&f, e) : hold(&f, call, h, e);
		f.unchanged = false;
		if (r == 0)
			r = run_locked(&f, call, h, e);
	}
	if (r < 0)
		return r;
	if (ret_unchanged)
		*ret_unchanged = f.unchanged;
	if (call->hold)
		h->record = TAKE_PTR(f.record);
	else if (ret_record)
		*ret_record = TAKE_PTR(f.record);
	return 0;
}
