/*
 * A new passphrase. During it `passphrase` is always one that surely opens the volume, `pending` the other: before
 * the commit (ROTATING) that is the new one, after it (RETIRING) the old one.
 */
#include "lib/workflow/rotate.h"
#include "lib/workflow/workflow.h"

#include "lib/guest/renew.h"
#include "lib/volume/keyslots.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct rotate_state {
	struct keyslots k;	/* open from the check under the lock, or from the judge's first question on */
	bool open;
};

static int open_keyslots(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	if (s->open)
		return 0;
	int r = keyslots_begin(f->env, f->g, f->record, &s->k, e);
	s->open = r == 0;
	return r;
}

static void clear(void *state)
{
	struct rotate_state *s = state;
	if (s->open)
		keyslots_end(&s->k);
}

/* ---- check ---- */

#define NO_SECRET "reached to renew its secret (--no-libvirt rotates without)"

static int look(struct flow *f, struct error *e)
{
	const struct volume_rotate *p = f->params;
	struct volume_rotated *done = f->result;
	const struct record *r = f->record;
	struct volume_mapping m = { 0 };
	int result = p->without_libvirt ? 0 : volume_check_libvirt(f->g, r, NO_SECRET, e);
	if (result == 0)
		result = volume_mapping(r, &m, e);
	if (result == 0 && !volume_is_mapped_for_guests(r))
		result = flow_find_guest(f, e);
	if (result < 0)
		return result;
	done->changed = true;
	done->how = f->guest ? "live" : m.name[0] ? "mapped" : "at rest";
	snprintf(done->domain, sizeof(done->domain), "%s", flow_guest_name(f));
	return 0;
}

/* A passphrase that opens nothing, of a record from an older backup say, must not be rotated: nobody would know the
 * keyslots that are there. */
static int check(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	int r = volume_state_flags(f->record->state) & STATE_NO_KEY ? volume_check_ready(f->record, e) : look(f, e);
	if (r < 0 || !f->locked)
		return r;
	r = open_keyslots(f, e);
	if (r == 0)
		r = keyslots_prove(&s->k, f->record->passphrase, e);
	return r < 0 ? error_prefix(e, "%s keeps its passphrase", f->record->path) : 0;
}

/* ---- the way there ---- */

/* record.work: step is the new keyslot, mark its mark. Beside a link that waits there is no room for it. */
static int intend(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	struct record_work *w = &f->record->work;
	struct luks_keyslot slot;
	int r = secret_generate_passphrase(&f->record->pending, e);
	if (r == 0)
		r = keyslots_plan(&s->k, f->record->pending, &slot, e);
	if (r == 0 && slot.slot >= 0 && !w->version)
		*w = (struct record_work){
			.version = RECORD_WORK_VERSION, .number = RECORD_ROTATING,
			.step = (uint32_t)slot.slot, .mark = slot.mark,
		};
	return r;
}

static int act(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	return keyslots_add(&s->k, f->record->passphrase, f->record->pending, e);
}

static void swap(struct record *r)
{
	struct secret *other = r->passphrase;
	r->passphrase = r->pending;
	r->pending = other;
}

void rotate_take_next(struct record *r)
{
	swap(r);
	r->generation++;
	r->rotated = (int64_t)time(NULL);
}

static int commit(struct flow *f, struct error *e)
{
	(void)e;
	rotate_take_next(f->record);
	return 0;
}

/* libvirt's secret, where it has one, so that the next start of a guest works. */
static int tell_libvirt(struct flow *f, struct error *e)
{
	struct volume_rotated *done = f->result;
	const struct record *r = f->record;
	bool had = false;
	if (volume_is_mapped_for_guests(r))
		return 0;
	int result = guest_secret_renew(f->g, r->uuid, r->path, r->passphrase, &had, e);
	if (result == 0 && done)
		done->registered = had;
	return result;
}

static int remove_other(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	struct record_work *w = &f->record->work;
	int r = keyslots_remove(&s->k, f->record->pending, NULL, e);
	if (r < 0 || w->number != RECORD_ROTATING)
		return r;
	r = keyslots_remove_planned(&s->k, (int)w->step, w->mark, f->record->passphrase, e);
	record_work_clear(w);
	return r;
}

/* What is recorded stays, the other passphrase goes: the end of a rotation, and of one that is taken back. */
static int retire(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	struct volume_rotated *done = f->result;
	int r = f->record->pending ? open_keyslots(f, e) : 0;
	if (r == 0)
		r = tell_libvirt(f, e);
	if (r == 0 && f->record->pending)
		r = remove_other(f, e);
	if (r < 0)
		return r;
	if (done && s->open && s->k.domain) {
		done->how = "live";
		snprintf(done->domain, sizeof(done->domain), "%s", virDomainGetName(s->k.domain));
	}
	secret_free(f->record->pending);
	f->record->pending = NULL;
	return 0;
}

/* ---- after an interruption ---- */

/*
 * No keyslot is destroyed before the other passphrase was seen to open the volume: what the record says may be
 * younger or older than what the disk has, after a power cut of either.
 */
static int judge(struct flow *f, struct error *e)
{
	struct rotate_state *s = f->state;
	struct error why = { 0 };
	bool begun = f->record->state == RECORD_ROTATING;
	int r = f->record->pending ? open_keyslots(f, e) : 0;
	if (r < 0)
		return r;
	r = f->record->pending ? keyslots_prove(&s->k, f->record->passphrase, &why) : 0;
	if (r < 0 && (why.kind != ERROR_BAD_KEY || keyslots_prove(&s->k, f->record->pending, NULL) < 0))
		return error_pass(e, &why);
	if (r < 0 && !begun)
		swap(f->record);
	return begun && r == 0 ? FLOW_UNDO : FLOW_FINISH;
}

const struct workflow workflow_rotate = {
	.name = "rotate",
	.begun = RECORD_ROTATING,
	.committed = RECORD_RETIRING,
	.flags = FLOW_HERE,
	.state_size = sizeof(struct rotate_state),
	.undone = "the old passphrase is in force, the new keyslot is destroyed",
	.finished = "the new passphrase is in force, the old keyslot is destroyed",
	.kept = "keeps its passphrase",
	.done = "has its new passphrase",
	.check = check,
	.intend = intend,
	.act = act,
	.commit = commit,
	.finish = retire,
	.undo = retire,
	.judge = judge,
	.clear = clear,
};

int volume_rotate(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		  const struct volume_rotate *p, struct volume_rotated *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	struct volume_rotated done = { 0 };
	const struct flow_call call = {
		.env = env, .g = g, .volume = volume, .params = p, .result = &done, .dry_run = p->dry_run,
	};
	int result = g ? guest_require_secure(g, e) : 0;
	if (result == 0)
		result = workflow_run(&workflow_rotate, &call, &r, NULL, e);
	if (result < 0)
		return result;
	done.generation = r->generation;
	*ret = done;
	return 0;
}
