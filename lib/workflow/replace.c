#include "lib/workflow/replace.h"
#include "lib/workflow/workflow.h"

#include "lib/volume/internal.h"
#include "lib/volume/users.h"

/* A keyslot in record.work.mark. */
#define BIT(slot) (UINT64_C(1) << (slot))
#define SLOTS 64

struct replace_state {
	struct container *c;
	int ours;	/* the keyslot of the record's passphrase */
};

static void clear(void *state)
{
	container_free(((struct replace_state *)state)->c);
}

int replace_note(struct record *r, struct luks *luks, const struct secret *passphrase, struct error *e)
{
	uint64_t mask = 0, active = luks_active_slots(luks_info(luks));
	for (int slot = 0; slot < SLOTS; slot++) {
		struct error why = { 0 };
		int opened;
		if (!(active & BIT(slot)))
			continue;
		if (luks_unlock(luks, slot, passphrase, &opened, NULL, &why) == 0)
			mask |= BIT(slot);
		else if (why.kind != ERROR_BAD_KEY)
			return error_pass(e, &why);
	}
	record_work_clear(&r->work);
	r->work.version = RECORD_WORK_VERSION;
	r->work.number = RECORD_REPLACING;
	r->work.mark = mask;
	return 0;
}

/* Ours is never among them, and has to be one that works. */
static int open_header(struct flow *f, struct error *e)
{
	struct replace_state *s = f->state;
	int r = volume_prove(f->record, volume_header_path(f->record), &s->ours, e);
	return r < 0 || s->c ? r : volume_open_header(f->record, CONTAINER_CHANGE, &s->c, e);
}

static int check(struct flow *f, struct error *e)
{
	int r = volume_check_secrets(f->g, f->record->path, f->record->uuid, e);
	return r == 0 && f->locked ? open_header(f, e) : r;
}

static int intend(struct flow *f, struct error *e)
{
	struct replace_state *s = f->state;
	int r = replace_note(f->record, container_luks(s->c), f->params, e);
	if (r == 0 && !(f->record->work.mark & ~BIT(s->ours)))
		flow_note(f, "the given passphrase opens no keyslot of %s: nothing to replace", f->record->path);
	return r;
}

static int finish(struct flow *f, struct error *e)
{
	struct replace_state *s = f->state;
	struct record *r = f->record;
	int result = open_header(f, e);
	for (int slot = 0; slot < SLOTS && result == 0; slot++) {
		if (slot == s->ours || !(r->work.mark & luks_active_slots(luks_info(container_luks(s->c))) & BIT(slot)))
			continue;
		result = container_remove_keyslot(s->c, slot, e);
		if (result == 0)
			flow_note(f, "keyslot %d, which the given passphrase opened, was destroyed", slot);
	}
	return result;
}

const struct workflow workflow_replace = {
	.name = "replace",
	.begun = RECORD_REPLACING,
	.committed = RECORD_REPLACING,
	.flags = FLOW_NOTES,
	.state_size = sizeof(struct replace_state),
	.finished = "it is imported, and the keyslot of the given passphrase is destroyed",
	.kept = "keeps its keyslots",
	.done = "is imported",
	.check = check,
	.intend = intend,
	.finish = finish,
	.verdict = FLOW_FINISH,
	.clear = clear,
};

int volume_replace(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		   const struct secret *passphrase, struct error *e)
{
	const struct flow_call call = { .env = env, .g = g, .volume = volume, .params = passphrase };
	return workflow_run(&workflow_replace, &call, NULL, NULL, e);
}
