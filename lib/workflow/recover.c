/* What an interruption left: the disk is asked, and the workflow is undone or finished. */
#include "lib/workflow/internal.h"
#include "lib/volume/internal.h"
#include "lib/volume/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* More workflows than these do not lie one in another. */
#define ROUNDS 6

static int finish(struct flow *f, struct error *e)
{
	int r = 0;
	/* Only the record is behind. */
	if (f->record->state != f->workflow->committed)
		r = flow_commit(f, e);
	return r < 0 ? r : flow_finish(f, e);
}

static int undo(struct flow *f, struct error *e)
{
	uint32_t was = f->record->state;
	int r = flow_do(f, f->workflow->undo, e);
	/* Unless it has said itself where that leads; one of several steps under way may be undone. */
	if (r == 0 && f->record->state == was)
		flow_leave(f, 0);
	f->gone = r == 0 && f->workflow->flags & FLOW_NEW;
	return r < 0 ? r : flow_store_as(f, "-undone", e);
}

static int resume(struct flow *f, struct error *e)
{
	f->resumed = true;
	int r = flow_act(f, e);
	return r < 0 ? r : flow_finish(f, e);
}

static void tell(const struct flow *f, const char *words, char *detail)
{
	snprintf(detail, 512, "%s", f->detail[0] ? f->detail : words ? words : "");
}

/* One workflow of the record. *ret stays NOTHING where one waits that harms nobody. */
static int settle_one(struct flow *f, bool may_resume, enum flow_outcome *ret, char *detail, struct error *e)
{
	const struct workflow *w = f->workflow;
	int r, verdict = w->judge ? w->judge(f, e) : (int)w->verdict;
	if (verdict < 0)
		return verdict;
	switch (verdict) {
	case FLOW_UNDO:
		r = undo(f, e);
		*ret = FLOW_UNDONE;
		tell(f, w->undone, detail);
		return r;
	case FLOW_RESUME:
		if (!may_resume)
			break;
		r = resume(f, e);
		*ret = FLOW_FINISHED;
		tell(f, w->finished, detail);
		return r;
	case FLOW_FINISH:
		r = finish(f, e);
		*ret = FLOW_FINISHED;
		tell(f, w->finished, detail);
		return r;
	default:
		break;
	}
	*ret = verdict == FLOW_RESUME ? FLOW_HALFWAY : verdict == FLOW_LATER ? FLOW_WAITS : FLOW_NEEDS_PERSON;
	tell(f, verdict == FLOW_RESUME ? "it can only be gone on with" : NULL, detail);
	return 0;
}

static bool is_end(enum flow_outcome o)
{
	return o == FLOW_WAITS || o == FLOW_HALFWAY || o == FLOW_NEEDS_PERSON;
}

static int settle(struct flow *f, bool may_resume, enum flow_outcome *ret, char *detail, struct error *e)
{
	for (int round = 0; f->record; round++) {
		enum flow_outcome one = FLOW_NOTHING;
		char text[512] = "";
		uint32_t number = volume_state_of(f->record);
		const struct workflow *w = workflow_of(number);
		if (number == RECORD_READY)
			return 0;
		if (round == ROUNDS)
			return error_set(e, ERROR_FAILED, EIO, "%s does not come to an end", f->record->path);
		if (!w) {
			*ret = FLOW_NEEDS_PERSON;
			snprintf(detail, 512, "a newer kvmcrypt is at it (workflow %u)", number);
			return 0;
		}
		f->record->state = number;
		f->detail[0] = 0;
		int r = flow_begin(f, w, e);
		if (r == 0)
			r = flow_hold_others(f, e);
		if (r == 0)
			r = settle_one(f, may_resume, &one, text, e);
		flow_end(f);
		if (r < 0)
			return r;
		/* What was brought to an end before is the news, not that the rest waits. */
		if (one != FLOW_WAITS || *ret == FLOW_NOTHING) {
			*ret = one;
			memcpy(detail, text, sizeof(text));
		}
		if (is_end(one))
			return 0;
	}
	return 0;
}

int workflow_settle(const struct volume_env *env, struct guest_connection *g, struct volume_hold *h, bool may_resume,
		    enum flow_outcome *ret, char *detail, struct error *e)
{
	struct flow f = { .env = env, .g = g, .record = TAKE_PTR(h->record), .locked = true };
	enum flow_outcome outcome = FLOW_NOTHING;
	detail[0] = 0;
	int r = settle(&f, may_resume, &outcome, detail, e);
	flow_release_others(&f);
	h->record = f.record;
	if (r == 0)
		*ret = outcome;
	return r;
}

int workflow_settle_for(const struct volume_env *env, struct guest_connection *g, struct volume_hold *h,
			struct error *e)
{
	enum flow_outcome outcome;
	char detail[512], path[1024];
	snprintf(path, sizeof(path), "%s", h->record->path);
	int r = workflow_settle(env, g, h, false, &outcome, detail, e);
	if (r < 0)
		return error_prefix(e, "%s is in an unfinished workflow", path);
	if (!h->record)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "%s is gone: %s", path, detail);
	if (volume_is_ready(h->record))
		return 0;
	return error_set(e, ERROR_BUSY, EBUSY, "%s is in an unfinished workflow (%s): run `kvmcrypt recover` (%s)",
			 path, volume_state_name(h->record->state), detail);
}

static int settle_seen(const struct volume_env *env, struct guest_connection *g, const struct record *seen,
		       struct error *e)
{
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	struct error why = { 0 };
	if (volume_is_ready(seen))
		return 0;
	int r = volume_hold(env, seen->uuid, "recover", HOLD_UNFINISHED, &h, &why);
	if (r == 0)
		r = workflow_settle_for(env, g, &h, &why);
	/* It went away, by us or by somebody else. */
	return r < 0 && why.kind != ERROR_NOT_FOUND ? error_pass(e, &why) : 0;
}

int workflow_settle_path(const struct volume_env *env, struct guest_connection *g, const char *path, struct error *e)
{
	AUTOFREE char *whole = NULL;
	AUTORECORD struct record *seen = NULL;
	int r = volume_new_path(path, &whole, e);
	if (r == 0)
		r = volume_at(env->ks, whole, &seen, e);
	return r < 0 || !seen ? r : settle_seen(env, g, seen, e);
}

int workflow_settle_volume(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
			   struct error *e)
{
	AUTORECORD struct record *seen = NULL;
	int r = keystore_get(env->ks, volume, &seen, e);
	return r < 0 ? r : settle_seen(env, g, seen, e);
}

/* ---- recover ---- */

/* 030c29a could leave a passphrase or a volume key of an unfinished workflow in a record that it called ready. */
static bool hides_something(struct keystore *ks, const struct record *seen)
{
	AUTORECORD struct record *r = NULL;
	if (record_version(seen) != RECORD_VERSION_FIRST)
		return false;
	return keystore_get(ks, seen->uuid, &r, NULL) == 0 && keystore_peek(ks, r, NULL) == 0 &&
	       volume_state_of(r) != RECORD_READY;
}

static bool is_unfinished(void *ctx, const struct record *r)
{
	return volume_state_of(r) != RECORD_READY || hides_something(ctx, r);
}

int volume_unfinished(struct keystore *ks, struct volume_list *ret, struct error *e)
{
	return volume_list_all(ks, is_unfinished, ks, ret, e);
}

static const char *const words[] = {
	[FLOW_NOTHING] = "finished", [FLOW_UNDONE] = "undone",	   [FLOW_FINISHED] = "finished",
	[FLOW_WAITS] = "waits",	     [FLOW_HALFWAY] = "halfway",   [FLOW_NEEDS_PERSON] = "needs_attention",
};

int volume_recover(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		   struct volume_recovered *ret, struct error *e)
{
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	enum flow_outcome outcome = FLOW_NOTHING;
	struct error busy = { 0 };
	*ret = (struct volume_recovered){ .was = RECORD_READY, .outcome = "finished" };
	int r = volume_hold(env, volume, "recover", HOLD_UNFINISHED | HOLD_TRY, &h, &busy);
	if (r == -EBUSY) {
		AUTORECORD struct record *seen = NULL;
		if (keystore_get(env->ks, volume, &seen, NULL) == 0)
			ret->was = volume_state_of(seen);
		ret->outcome = "in_progress";
		snprintf(ret->detail, sizeof(ret->detail), "%.500s", busy.message);
		return 0;
	}
	if (r < 0)
		return error_pass(e, &busy);
	ret->was = volume_state_of(h.record);
	r = workflow_settle(env, g, &h, true, &outcome, ret->detail, e);
	if (r == 0)
		ret->outcome = words[outcome];
	return r;
}
