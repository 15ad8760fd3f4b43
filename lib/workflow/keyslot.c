/*
 * Keyslots besides our own. The record says which keyslots there were before; what the header has after an
 * interruption then tells whether the one was added or removed.
 */
#include "lib/workflow/keyslot.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"
#include "base/walk.h"
#include "keystore/record/kdf.h"
#include "lib/volume/keyslots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* record.work.step */
enum { ADD = 1, ADD_RECOVERY = 2, REMOVE = 3 };
/* record.work.files */
#define RECOVERY_FILE 1
#define UNNAMED_FILE 2
#define RECOVERY_MAX 4096

struct keyslot_params {
	int step;
	const struct secret *passphrase;	/* to add */
	const char *file;			/* canonical: where it is written down, or NULL */
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
	*ret = luks_active_slots(luks_info(container_luks(c)));
	return 0;
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
				 "This takes the last free keyslot of %s, and `kvmcrypt rotate` then has none to work "
				 "with.",
				 record->path);
	return 0;
}

static int check_add(struct flow *f, const struct keyslot_params *p, struct error *e)
{
	int slot, r = keyslots_find(f->record, p->passphrase, &slot, e);
	if (r == 0 && slot >= 0)
		r = error_set(e, ERROR_EXISTS, EEXIST, "keyslot %d of %s opens with it already", slot, f->record->path);
	return r < 0 ? r : check_room(f->record, p->last, e);
}

static int check_remove(struct flow *f, const struct keyslot_params *p, struct error *e)
{
	int ours, r = keyslots_find(f->record, f->record->passphrase, &ours, e);
	if (r == 0 && p->slot == ours)
		r = error_set(e, ERROR_REFUSED, EPERM,
			      "keyslot %d of %s is kvmcrypt's own: `kvmcrypt rotate` replaces it", p->slot,
			      f->record->path);
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
			      "guest %s runs with %s and would stand still while a passphrase is derived: stop it "
			      "first, or add a recovery key",
			      virDomainGetName(s->k.domain), f->record->path);
	if (r == 0)
		r = p->step == REMOVE ? check_remove(f, p, e) : check_add(f, p, e);
	return r;
}

/* ---- the way there ---- */

/* Tells our file from another that came to lie at its name. The key has 256 random bits, so its hash says nothing. */
static void fingerprint(const struct secret *key, char hex[2 * HASH_LEN + 1])
{
	unsigned char hash[HASH_LEN];
	kdf_sha256(key->data, key->len, hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		sprintf(hex + 2 * i, "%02x", hash[i]);
}

static int intend_file(struct record_work *w, const struct keyslot_params *p, struct error *e)
{
	char hex[2 * HASH_LEN + 1];
	fingerprint(p->passphrase, hex);
	if (asprintf(&w->params, "{\"key\":\"%s\"}", hex) < 0) {
		w->params = NULL;
		return error_oom(e);
	}
	AUTOFILE_NEW struct file_new *f = NULL;
	int r = file_new_plan(p->file, &f, e);
	if (r == 0)
		r = record_work_file(w, RECOVERY_FILE, p->file, 0, 0, e);
	/* Before it has its name it has one that undo() finds again. */
	return r < 0 ? r : record_work_file(w, UNNAMED_FILE, f->tmp, 0, 0, e);
}

static const char *file_of(const struct record *r, uint32_t role)
{
	for (size_t i = 0; i < r->work.n_files; i++)
		if (r->work.files[i].role == role)
			return r->work.files[i].path;
	return NULL;
}

static int intend(struct flow *f, struct error *e)
{
	const struct keyslot_params *p = f->params;
	struct record_work *w = &f->record->work;
	w->step = (uint32_t)p->step;
	int r = active_slots(f->record, &w->mark, e);
	return r < 0 || !p->file ? r : intend_file(w, p, e);
}

static int write_file(const struct record *r, const struct keyslot_params *p, struct error *e)
{
	AUTOFILE_NEW struct file_new *f = NULL;
	AUTOSECRET struct secret *line = NULL;
	int result = secret_new(p->passphrase->len + 1, &line, e);
	if (result < 0)
		return result;
	memcpy(line->data, p->passphrase->data, p->passphrase->len);
	line->data[p->passphrase->len] = '\n';
	result = file_new_plan_as(p->file, file_of(r, UNNAMED_FILE), &f, e);
	if (result == 0)
		result = file_new_open(f, e);
	if (result == 0)
		result = file_pwrite(f->fd, line->data, line->len, 0, p->file, e);
	return result < 0 ? result : file_new_commit(f, false, e);
}

/* The key in such a file, without its newline. */
static int read_file(const char *file, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *line = NULL;
	AUTOWALK struct walk w = WALK_NONE;
	unsigned char buf[RECOVERY_MAX];
	int result = walk_path(file, &w, e);
	if (result < 0)
		return result;
	AUTOCLOSE int fd = w.fd >= 0 && S_ISREG(w.st.st_mode) ? walk_open(&w, O_RDONLY | O_NONBLOCK) : -ENOENT;
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n < 0)
		return error_errno(e, error_kind_of_errno(fd < 0 ? fd : errno), fd < 0 ? fd : errno, "%s", file);
	while (n && buf[n - 1] == '\n')
		n--;
	int r = secret_copy(buf, n ? (size_t)n : 1, &line, e);
	secret_wipe(buf, sizeof(buf));
	if (r == 0)
		*ret = TAKE_PTR(line);
	return r;
}

static int act(struct flow *f, struct error *e)
{
	struct keyslot_state *s = f->state;
	const struct keyslot_params *p = f->params;
	int r;
	switch (p->step) {
	case REMOVE:
		return keyslots_remove_number(&s->k, p->slot, e);
	case ADD_RECOVERY:
		/* A key that cannot be written down must not be the only trace of its keyslot. */
		if (p->file && (r = write_file(f->record, p, e)) < 0)
			return r;
		return keyslots_add(&s->k, f->record->passphrase, p->passphrase, e);
	default:
		return container_add_keyslot(s->k.container, f->record->volume_key, p->passphrase, LUKS_KDF_PERSON, e);
	}
}

/* From the disk, which also proves that it opens. */
static int prove(struct flow *f, struct error *e)
{
	const struct keyslot_params *p = f->params;
	int *slot = f->result;
	int r = p->step == REMOVE ? 0 : keyslots_find(f->record, p->passphrase, slot, e);
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
	return 0;
}

/* ---- after an interruption ---- */

static int judge(struct flow *f, struct error *e)
{
	uint64_t now;
	int r = active_slots(f->record, &now, e);
	return r < 0 ? r : now == f->record->work.mark ? FLOW_UNDO : FLOW_FINISH;
}

/* The file of a key that opens nothing, if it is ours. */
static void drop_file(const struct record *r)
{
	const char *file = file_of(r, RECOVERY_FILE), *unnamed = file_of(r, UNNAMED_FILE);
	AUTOSECRET struct secret *key = NULL;
	char hex[2 * HASH_LEN + 1];
	if (unnamed)
		walk_remove(unnamed, NULL);
	if (!file || !r->work.params || read_file(file, &key, NULL) < 0)
		return;
	fingerprint(key, hex);
	if (strstr(r->work.params, hex))
		walk_remove(file, NULL);
}

static int undo(struct flow *f, struct error *e)
{
	(void)e;
	drop_file(f->record);
	return 0;
}

const struct workflow workflow_keyslot = {
	.name = "keyslot",
	.begun = RECORD_KEYSLOT,
	.flags = FLOW_HERE | FLOW_NOTES,
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

/* Is the file there, with a key that opens the volume? */
static int find_written(const struct volume_env *env, const uuid_t volume, const char *file, int *ret_slot,
			struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOSECRET struct secret *key = NULL;
	struct error why = { 0 };
	*ret_slot = -1;
	int result = read_file(file, &key, &why);
	if (result < 0)
		return why.kind == ERROR_NOT_FOUND ? 0 : error_pass(e, &why);
	result = keystore_get(env->ks, volume, &r, e);
	if (result == 0)
		result = keyslots_find(r, key, ret_slot, e);
	/* A file that somebody keeps his own passphrase in is not ours. */
	if (result == 0 && (*ret_slot < 0 || !(r->recovery_slots >> *ret_slot & 1)))
		result = error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", file);
	return result;
}

int volume_keyslot_add(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		       const struct volume_keyslot_add *p, int *ret_slot, bool *ret_existed, struct error *e)
{
	AUTOFREE char *file = NULL;
	struct keyslot_params params = {
		.step = p->recovery ? ADD_RECOVERY : ADD, .passphrase = p->passphrase, .last = p->last,
	};
	*ret_existed = false;
	if (!p->file)
		return run(env, g, volume, &params, ret_slot, e);
	int r = file_canonical(p->file, &file, e);
	/* An earlier run may have left its file. */
	if (r == 0)
		r = workflow_settle_volume(env, g, volume, e);
	if (r == 0)
		r = find_written(env, volume, file, ret_slot, e);
	if (r < 0)
		return r;
	*ret_existed = *ret_slot >= 0;
	params.file = file;
	return *ret_existed ? 0 : run(env, g, volume, &params, ret_slot, e);
}

int volume_keyslot_remove(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, int slot,
			  struct error *e)
{
	const struct keyslot_params p = { .step = REMOVE, .slot = slot };
	return run(env, g, volume, &p, NULL, e);
}
