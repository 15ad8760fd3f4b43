/* Backup and restore: the store and the seal that goes with it, as one file. */
#include "keystore/internal.h"

#include "base/file.h"
#include "base/text.h"
#include "keystore/cache.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Do seal and store belong together? -ESTALE without words if not. */
static int check_pair(struct store *store, const void *seal, size_t seal_len, struct error *e)
{
	AUTOSEAL struct seal *parsed = NULL;
	uuid_t of_seal, of_store;
	size_t len = sizeof(uuid_t);
	int r = seal_parse(seal, seal_len, &parsed, e);
	if (r < 0 || (r = seal_root_id(parsed, of_seal, e)) < 0 ||
	    (r = store_meta_get(store, META_ROOT_ID, of_store, &len, e)) < 0)
		return r;
	return len == sizeof(uuid_t) && !uuid_compare(of_seal, of_store) ? 0 : -ESTALE;
}

/* As restore will read it. */
static int read_back(const char *file, const void *seal, size_t seal_len, struct error *e)
{
	AUTOSTORE struct store *copy = NULL;
	AUTOFREE void *its_seal = NULL;
	size_t its_len = 0;
	int r = store_open_backup(file, &copy, &its_seal, &its_len, e);
	if (r < 0)
		return error_prefix(e, "the backup does not read back");
	if (its_len != seal_len || memcmp(its_seal, seal, seal_len) != 0)
		return error_set(e, ERROR_FAILED, EIO, "the backup does not read back: another seal is in it");
	/* A rekey that was interrupted after the seal was looked at and before the lock was ours. */
	r = check_pair(copy, its_seal, its_len, e);
	return r == -ESTALE ? error_set(e, ERROR_BUSY, ESTALE,
					"the keystore was given a new root key just now: run the command again")
			    : r;
}

/*
 * SQLite writes by name, and whoever is killed leaves the name behind: so it does that in the keystore's directory,
 * where keystore_settle() sweeps, and the file itself has no name before it is whole.
 */
static int make_copy(struct keystore *ks, struct file_new **ret, struct error *e)
{
	AUTOFREE void *seal = NULL;
	AUTOFREE char *path = NULL;
	AUTOFILE_NEW struct file_new *f = NULL;
	size_t len = 0;
	if (asprintf(&path, "%s/" BACKUP_COPY, ks->path) < 0) {
		path = NULL;
		return error_oom(e);
	}
	int r = seal_read(ks->dir, &seal, &len, e);
	if (r < 0 || (r = file_new_plan(path, &f, e)) < 0 || (r = file_new_open(f, e)) < 0 ||
	    (r = store_backup(ks->store, f->tmp, seal, len, e)) < 0 || (r = read_back(f->tmp, seal, len, e)) < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

int keystore_backup(struct keystore *ks, const char *file, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOFILE_NEW struct file_new *copy = NULL;
	AUTOFILE_NEW struct file_new *f = NULL;
	/* A seal whose change was interrupted must not go into the backup. */
	int r = keystore_settle(ks, e);
	if (r < 0 || (r = seal_lock(ks->dir, false, &lock, e)) < 0 || (r = file_new_begin(file, &f, e)) < 0)
		return r;
	if (access(file, F_OK) == 0)
		return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", file);
	if ((r = make_copy(ks, &copy, e)) < 0 || (r = file_copy(copy->fd, f->fd, file, e)) < 0 ||
	    (r = file_new_commit(f, false, e)) < 0)
		return r;
	return ks->root ? keystore_audit(ks, "backup", NULL, file, e) : 0;
}

/* ---- restore ---- */

struct restore {
	const char *file;
	struct store *store;		/* of the backup */
	void *seal;
	size_t seal_len;
	uuid_t root_id;
	const char *expect;		/* the ID that it must have, or NULL */
	struct keystore_restored *ret;
};

static void restore_clear(struct restore *p)
{
	store_closep(&p->store);
	free(p->seal);
}

static int count(void *ctx, const struct store_record *row, struct error *e)
{
	(void)row, (void)e;
	++*(uint64_t *)ctx;
	return 0;
}

static int open_backup(struct restore *p, struct error *e)
{
	size_t len = sizeof(uuid_t);
	if (access(p->file, R_OK) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", p->file);
	int r = store_open_backup(p->file, &p->store, &p->seal, &p->seal_len, e);
	if (r < 0 || (r = store_meta_get(p->store, META_ROOT_ID, p->root_id, &len, e)) < 0)
		return r;
	if (len != sizeof(uuid_t))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: it names no root key", p->file);
	return store_each(p->store, count, &p->ret->volumes, e);
}

static int keep_revision(void *ctx, const struct store_record *row, struct error *e)
{
	(void)e;
	*(uint64_t *)ctx = row->revision;
	return 0;
}

/* A record that is there: has the backup it as new? */
static int compare(void *ctx, const struct store_record *row, struct error *e)
{
	struct restore *p = ctx;
	uint64_t revision = 0;
	int r = store_find(p->store, STORE_BY_UUID, row->uuid, keep_revision, &revision, e);
	if (r < 0)
		return r;
	if (revision < row->revision || p->ret->other_root) {
		if (!p->ret->newer++)
			snprintf(p->ret->example, sizeof(p->ret->example), "%.500s", row->path);
	}
	return 0;
}

static int look_at(struct restore *p, struct keystore *ks, bool overwrite, struct error *e)
{
	p->ret->replaced = true;
	p->ret->newer = 0;
	p->ret->other_root = uuid_compare(ks->root_id, p->root_id) != 0;
	int r = store_each(ks->store, compare, p, e);
	if (r < 0 || !p->ret->newer || overwrite)
		return r;
	return error_set(e, ERROR_REFUSED, EEXIST,
			 "%llu record%s of the keystore %s (%s, for one): --yes replaces the keystore all the "
			 "same, and keeps a backup of it",
			 (unsigned long long)p->ret->newer, p->ret->newer == 1 ? "" : "s",
			 p->ret->other_root ? "have another root key than the backup"
					    : "are newer than in the backup, or not in it",
			 p->ret->example);
}

static int keep_old(struct restore *p, struct keystore *ks, struct error *e)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	struct error why = { 0 };
	int r = -EEXIST;
	/* Two in one second get two names. */
	for (int i = 0; r == -EEXIST && i < 100; i++) {
		snprintf(p->ret->kept, sizeof(p->ret->kept),
			 i ? "%s/" BEFORE_RESTORE "%s-%d.backup" : "%s/" BEFORE_RESTORE "%s.backup", ks->path, when, i);
		r = keystore_backup(ks, p->ret->kept, &why);
	}
	if (r < 0)
		error_pass(e, &why);
	return r < 0 ? error_prefix(e, "cannot keep what is there") : 0;
}

/* Is it the root key that is expected, or else the one that is pinned? */
static int check_root(const struct restore *p, struct keystore *ks, struct error *e)
{
	char has[UUID_STR_LEN];
	uuid_t want;
	struct error why = { 0 };
	uuid_unparse_lower(p->root_id, has);
	if (p->expect && uuid_parse(p->expect, want) < 0)
		return error_set(e, ERROR_USAGE, EINVAL, "'%s' is no ID of a root key (see `kvmcrypt keystore status`)",
				 p->expect);
	if (p->expect && uuid_compare(want, p->root_id) != 0)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "the backup has the root key %s, and not the one that is expected", has);
	if (p->expect || keystore_pin_allows(ks, p->root_id, &why) == 0)
		return 0;
	if (why.kind != ERROR_REFUSED)
		return error_pass(e, &why);
	return error_set(e, ERROR_REFUSED, EPERM,
			 "the backup has the root key %s, and not the one that is pinned for %s: is it of before a "
			 "rekey, or somebody else's? If it is right: --expect-root %s", has, ks->path, has);
}

static int swap_in(struct restore *p, struct keystore *ks, struct seal *seal, swap_fn store, struct error *e)
{
	int r = keystore_pin_begin(ks, p->root_id, p->expect != NULL, e);
	if (r < 0)
		return r;
	r = keystore_swap_seal(ks, seal, store, p, e);
	if (!store_is_unsettled(ks->store))
		keystore_pin_settle(ks);
	return r;
}

static int restore_store(struct keystore *ks, const unsigned char digest[HASH_LEN], void *ctx, struct error *e)
{
	const struct restore *p = ctx;
	(void)digest;
	return store_restore(ks->store, p->file, p->ret->kept[0] ? p->ret->kept : NULL, e);
}

static int replace_locked(struct restore *p, struct keystore *ks, bool overwrite, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	bool was = false;
	/* Looked at again: what others have stored since is in the old one now, or ends this with "busy" below. */
	int r = look_at(p, ks, overwrite, e);
	if (r < 0 || (r = seal_lock(ks->dir, true, &lock, e)) < 0 || (r = keystore_finish_swap(ks, e)) < 0 ||
	    (r = seal_from_bytes(ks->dir, p->seal, p->seal_len, false, &seal, e)) < 0 ||
	    (r = swap_in(p, ks, seal, restore_store, e)) < 0)
		return r;
	store_scrub(ks->store);
	if (p->ret->other_root)
		cache_remove(ks->root_id, &was, NULL);
	return 0;
}

static int replace(struct restore *p, struct keystore *ks, bool overwrite, struct error *e)
{
	struct error why = { 0 };
	int r = keep_old(p, ks, e);
	if (r < 0)
		return r;
	r = replace_locked(p, ks, overwrite, &why);
	/* Others were faster, and nothing was touched. After all other errors the way back is worth its name. */
	if (r < 0 && why.kind == ERROR_BUSY) {
		unlink(p->ret->kept);
		p->ret->kept[0] = 0;
	}
	return r < 0 ? error_pass(e, &why) : 0;
}

/* A restore into an empty directory that was interrupted before its last step. */
static int finish_new(struct keystore *ks, bool *ret_done, struct error *e)
{
	uuid_t id;
	size_t len = sizeof(id);
	*ret_done = false;
	if (!seal_is_pending(ks->dir) || store_open(ks->path, false, &ks->store, NULL) < 0)
		return 0;
	int r = store_settle(ks->store, e);
	if (r == 0 && store_meta_get(ks->store, META_ROOT_ID, id, &len, NULL) == 0)
		r = seal_recover_first(ks->dir, id, ret_done, e);
	store_closep(&ks->store);
	return r;
}

static int make_new(struct restore *p, const char *location, bool *ret_again, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = calloc(1, sizeof(*ks));
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	bool made = false;
	if (!ks)
		return error_oom(e);
	ks->dir = -1;
	int r = directory_make(location, &ks->path, &ks->dir, &made, e);
	if (r < 0 || (r = keystore_names(ks, location, e)) < 0 || (r = check_root(p, ks, e)) < 0 ||
	    (r = seal_lock(ks->dir, true, &lock, e)) < 0 || (r = finish_new(ks, ret_again, e)) < 0 ||
	    *ret_again)
		return r;
	if ((r = store_discard(ks->path, e)) < 0 || (r = store_open(ks->path, true, &ks->store, e)) < 0 ||
	    (r = seal_from_bytes(ks->dir, p->seal, p->seal_len, true, &seal, e)) < 0)
		return r;
	return swap_in(p, ks, seal, restore_store, e);
}

/* Before anything is replaced by it: is the seal one, and that of the store? */
static int check_seal(const struct restore *p, struct error *e)
{
	int r = check_pair(p->store, p->seal, p->seal_len, e);
	if (r == -ESTALE)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s is damaged: its seal and its store do not belong together", p->file);
	return r < 0 ? error_prefix(e, "%s", p->file) : 0;
}

int keystore_restore(const char *location, const char *file, bool overwrite, bool dry_run, const char *expect_root,
		     struct keystore_restored *ret, struct error *e)
{
	CLEANUP(restore_clear) struct restore p = { .file = file, .ret = ret, .expect = expect_root };
	*ret = (struct keystore_restored){ 0 };
	int r = open_backup(&p, e);
	if (r < 0 || (r = check_seal(&p, e)) < 0)
		return r;
	for (;;) {
		AUTOKEYSTORE struct keystore *ks = NULL;
		struct error why = { 0 };
		bool again = false;
		/* Whichever is pinned: to restore is the way out when another was put there. */
		r = keystore_open_expecting(location, NULL, &ks, &why);
		if (r < 0 && why.kind != ERROR_NOT_FOUND)
			return error_pass(e, &why);
		if (ks && ((r = check_root(&p, ks, e)) < 0 || (r = look_at(&p, ks, overwrite, e)) < 0))
			return r;
		if (dry_run)
			return 0;
		r = ks ? replace(&p, ks, overwrite, e) : make_new(&p, location, &again, e);
		if (r < 0 || !again)
			return r;
	}
}
