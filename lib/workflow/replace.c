#include "lib/workflow/replace.h"
#include "lib/workflow/workflow.h"

#include "lib/volume/internal.h"
#include "lib/volume/users.h"

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
	const struct luks_info *info = luks_info(luks);
	uint64_t mask = 0;
	for (int i = 0; i < info->n_keyslots; i++) {
		struct error why = { 0 };
		int slot;
		if (!info->keyslots[i].active)
			continue;
		if (luks_unlock(luks, info->keyslots[i].slot, passphrase, &slot, NULL, &why) == 0)
			mask |= UINT64_C(1) << slot;
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
	if (r == 0 && !(f->record->work.mark & ~(UINT64_C(1) << s->ours)))
		flow_note(f, "the given passphrase opens no keyslot of %s: nothing to replace", f->record->path);
	return r;
}

static bool is_active(const struct luks_info *info, int slot)
{
	for (int i = 0; i < info->n_keyslots; i++)
		if (info->keyslots[i].slot == slot)
			return info->keyslots[i].active;
	return false;
}

static int finish(struct flow *f, struct error *e)
{
	struct replace_state *s = f->state;
	struct record *r = f->record;
	int result = open_header(f, e);
	for (int slot = 0; slot < 64 && result == 0; slot++) {
		if (!(r->work.mark >> slot & 1) || slot == s->ours || !is_active(luks_info(container_luks(s->c)), slot))
			continue;
		result = luks_remove_keyslot(container_luks(s->c), slot, e);
		if (result == 0)
			result = container_write_back(s->c, e);
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
