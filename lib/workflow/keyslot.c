/*
 * Keyslots besides our own. The record says which keyslots there were before; what the header has after an
 * interruption then tells whether the one was added or removed.
 */
#include "lib/workflow/keyslot.h"
#include "lib/workflow/workflow.h"

#include "lib/volume/keyslots.h"

#include <errno.h>

/* record.work.step */
enum { ADD = 1, ADD_RECOVERY = 2, REMOVE = 3 };

struct keyslot_params {
	int step;
	const struct secret *passphrase;	/* to add */
	int slot;				/* to remove */
	bool last;				/* may be the last one that was free */
};

struct keyslot_state {
	struct keyslots k;
	bool open;
};

static void clear(void *state)
{
	struct keyslot_state *s = state;
	if (s->open)
		keyslots_end(&s->k);
}

/* ---- what the header has ---- */

static int active_slots(const struct record *r, uint64_t *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = volume_open_header(r, CONTAINER_LOOK, &c, e);
	if (result < 0)
		return result;
	const struct luks_info *info = luks_info(container_luks(c));
	*ret = 0;
	for (int i = 0; i < info->n_keyslots; i++)
		if (info->keyslots[i].active)
			*ret |= UINT64_C(1) << info->keyslots[i].slot;
	return 0;
}

int volume_keyslot_find(const struct record *r, const struct secret *passphrase, int *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct error why = { 0 };
	int result = volume_open_header(r, CONTAINER_LOOK, &c, e);
	if (result < 0)
		return result;
	result = volume_unlock_cheap(container_luks(c), passphrase, ret, NULL, &why);
	if (result == 0)
		return 0;
	*ret = -1;
	return why.kind == ERROR_BAD_KEY ? 0 : error_pass(e, &why);
}

/* ---- check ---- */

/* `rotate` makes a new keyslot before it destroys the old one. */
static int check_room(const struct record *record, bool last, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int r = volume_open_header(record, CONTAINER_LOOK, &c, e);
	if (r < 0)
		return r;
	int n = luks_free_keyslots(luks_info(container_luks(c)));
	if (!n)
		return error_set(e, ERROR_FAILED, ENOSPC,
				 "all keyslots of %s are in use: `kvmcrypt keyslot remove` one first", record->path);
	if (n == 1 && !last)
		return error_set(e, ERROR_REFUSED, ENOSPC,
				 "This takes the last free keyslot of %s, and `kvmcrypt rotate` then has none to work with.",
				 record->path);
	return 0;
}

static int check_add(struct flow *f, const struct keyslot_params *p, struct error *e)
{
	int slot, r = volume_keyslot_find(f->record, p->passphrase, &slot, e);
	if (r == 0 && slot >= 0)
		r = error_set(e, ERROR_EXISTS, EEXIST, "keyslot %d of %s opens with it already", slot, f->record->path);
	return r < 0 ? r : check_room(f->record, p->last, e);
}

static int check_remove(struct flow *f, const struct keyslot_params *p, struct error *e)
{
	int ours, r = volume_keyslot_find(f->record, f->record->passphrase, &ours, e);
	if (r == 0 && p->slot == ours)
		r = error_set(e, ERROR_REFUSED, EPERM,
			      "keyslot %d of %s is kvmcrypt's own: `kvmcrypt rotate` replaces it", p->slot, f->record->path);
	uint64_t active = 0;
	if (r == 0)
		r = active_slots(f->record, &active, e);
	if (r == 0 && (p->slot < 0 || p->slot > 63 || !(active >> p->slot & 1)))
		r = error_set(e, ERROR_NOT_FOUND, ENOENT, "keyslot %d of %s is not in use", p->slot, f->record->path);
	return r;
}

/* Whatever is added or removed, the keystore's passphrase has to be one that works. */
static int check(struct flow *f, struct error *e)
{
	struct keyslot_state *s = f->state;
	const struct keyslot_params *p = f->params;
	if (!f->locked)
		return 0;
	int r = keyslots_begin(f->env, f->g, f->record, &s->k, e);
	if (r < 0)
		return r;
	s->open = true;
	r = keyslots_prove(&s->k, f->record->passphrase, e);
	if (r == 0 && p->step == ADD && s->k.amend)
		r = error_set(e, ERROR_BUSY, EBUSY,
			      "guest %s runs with %s and would stand still while a passphrase is derived: stop it first, or add a recovery key",
			      virDomainGetName(s->k.domain), f->record->path);
	if (r == 0)
		r = p->step == REMOVE ? check_remove(f, p, e) : check_add(f, p, e);
	return r;
}

/* ---- the way there ---- */

static int intend(struct flow *f, struct error *e)
{
	const struct keyslot_params *p = f->params;
	struct record_work *w = &f->record->work;
	record_work_clear(w);
	w->version = RECORD_WORK_VERSION;
	w->number = RECORD_KEYSLOT;
	w->step = (uint32_t)p->step;
	return active_slots(f->record, &w->mark, e);
}

static int add_slow(struct keyslots *k, const struct secret *passphrase, struct error *e)
{
	int slot, r = luks_add_keyslot(container_luks(k->container), -1, k->record->volume_key, passphrase,
				       LUKS_KDF_PERSON, &slot, e);
	return r < 0 ? r : container_write_back(k->container, e);
}

static int act(struct flow *f, struct error *e)
{
	struct keyslot_state *s = f->state;
	const struct keyslot_params *p = f->params;
	switch (p->step) {
	case REMOVE:
		return keyslots_remove_number(&s->k, p->slot, e);
	case ADD_RECOVERY:
		return keyslots_add(&s->k, f->record->passphrase, p->passphrase, e);
	default:
		return add_slow(&s->k, p->passphrase, e);
	}
}

/* From the disk, which also proves that it opens. */
static int prove(struct flow *f, struct error *e)
{
	const struct keyslot_params *p = f->params;
	int *slot = f->result;
	int r = p->step == REMOVE ? 0 : volume_keyslot_find(f->record, p->passphrase, slot, e);
	if (r == 0 && p->step != REMOVE && *slot < 0)
		r = error_set(e, ERROR_FAILED, EIO, "the new keyslot of %s does not open", f->record->path);
	return r;
}

static int commit(struct flow *f, struct error *e)
{
	struct record *r = f->record;
	uint64_t now, before = r->work.mark;
	int result = active_slots(r, &now, e);
	if (result < 0)
		return result;
	r->recovery_slots &= (uint32_t)(now & ~(now & ~before));
	if (r->work.step == ADD_RECOVERY)
		r->recovery_slots |= (uint32_t)(now & ~before);
	record_work_clear(&r->work);
	r->state = RECORD_READY;
	return 0;
}

/* ---- after an interruption ---- */

static int judge(struct flow *f, enum flow_verdict *ret, struct error *e)
{
	uint64_t now;
	int r = active_slots(f->record, &now, e);
	if (r < 0)
		return r;
	*ret = now == f->record->work.mark ? FLOW_UNDO : FLOW_FINISH;
	return 0;
}

static int undo(struct flow *f, struct error *e)
{
	(void)e;
	record_work_clear(&f->record->work);
	return 0;
}

const struct workflow workflow_keyslot = {
	.name = "keyslot",
	.begun = RECORD_KEYSLOT,
	.state_size = sizeof(struct keyslot_state),
	.undone = "the keyslots are as they were",
	.finished = "the keyslot was changed, and the record says so now",
	.kept = "keeps its keyslots",
	.done = "has the change of its keyslots",
	.check = check,
	.intend = intend,
	.act = act,
	.prove = prove,
	.commit = commit,
	.judge = judge,
	.undo = undo,
	.clear = clear,
};

static int run(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
	       const struct keyslot_params *p, int *ret_slot, struct error *e)
{
	const struct flow_call call = { .env = env, .g = g, .volume = volume, .params = p, .result = ret_slot };
	return workflow_run(&workflow_keyslot, &call, NULL, NULL, e);
}

int volume_keyslot_add(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		       const struct secret *passphrase, bool recovery, bool last, int *ret_slot,
		       struct error *e)
{
	const struct keyslot_params p = { .step = recovery ? ADD_RECOVERY : ADD, .passphrase = passphrase, .last = last };
	return run(env, g, volume, &p, ret_slot, e);
}

int volume_keyslot_remove(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int slot,
			  struct error *e)
{
	const struct keyslot_params p = { .step = REMOVE, .slot = slot };
	return run(env, g, volume, &p, NULL, e);
}
