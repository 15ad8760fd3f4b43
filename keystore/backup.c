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
	    (r = store->ops->meta_get(store, META_ROOT_ID, of_store, &len, e)) < 0)
		return r;
	return len == sizeof(uuid_t) && !uuid_compare(of_seal, of_store) ? 0 : -ESTALE;
}

int keystore_backup(struct keystore *ks, const char *file, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOFREE void *seal = NULL, *copy = NULL;
	AUTOFILE_NEW struct file_new *f = NULL;
	AUTOSTORE struct store *check = NULL;
	AUTOSEAL struct seal *current = NULL;
	size_t seal_len = 0, copy_len = 0;
	/* A seal that an interrupted rekey left behind must not go into the backup. */
	int r = keystore_load_seal(ks, &current, e);
	if (r < 0 || (r = seal_lock(ks->dir, false, &lock, e)) < 0 || (r = seal_read(ks->dir, &seal, &seal_len, e)) < 0 ||
	    (r = file_new_begin(file, &f, e)) < 0)
		return r;
	if (access(file, F_OK) == 0)
		return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", file);
	if ((r = store_sqlite_backup(ks->store, f->tmp, seal, seal_len, e)) < 0)
		return r;
	/* As restore will read it, from the disk's point of view. */
	if ((r = store_sqlite_open_backup(f->tmp, &check, &copy, &copy_len, e)) < 0)
		return error_prefix(e, "the backup does not read back");
	if (copy_len != seal_len || memcmp(copy, seal, seal_len) != 0)
		return error_set(e, ERROR_FAILED, EIO, "the backup does not read back: another seal is in it");
	/* A rekey that was interrupted after the seal was looked at and before the lock was ours. */
	if ((r = check_pair(check, copy, copy_len, e)) == -ESTALE)
		return error_set(e, ERROR_BUSY, ESTALE, "the keystore was given a new root key just now: run the command again");
	if (r < 0)
		return r;
	store_closep(&check);
	if ((r = file_new_commit(f, false, e)) < 0)
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
	int r = store_sqlite_open_backup(p->file, &p->store, &p->seal, &p->seal_len, e);
	if (r < 0 || (r = p->store->ops->meta_get(p->store, META_ROOT_ID, p->root_id, &len, e)) < 0)
		return r;
	if (len != sizeof(uuid_t))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: it names no root key", p->file);
	return p->store->ops->each(p->store, count, &p->ret->volumes, e);
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
	int r = p->store->ops->find(p->store, STORE_BY_UUID, row->uuid, keep_revision, &revision, e);
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
	int r = ks->store->ops->each(ks->store, compare, p, e);
	if (r < 0 || !p->ret->newer || overwrite)
		return r;
	return error_set(e, ERROR_REFUSED, EEXIST,
			 "%llu record%s of the keystore %s (%s, for one): --yes replaces the keystore all the same, and keeps "
			 "a backup of it",
			 (unsigned long long)p->ret->newer, p->ret->newer == 1 ? "" : "s",
			 p->ret->other_root ? "have another root key than the backup" : "are newer than in the backup, or not in it",
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
		snprintf(p->ret->kept, sizeof(p->ret->kept), i ? "%s/before-restore-%s-%d.backup" : "%s/before-restore-%s.backup",
			 ks->path, when, i);
		r = keystore_backup(ks, p->ret->kept, &why);
	}
	if (r < 0)
		error_pass(e, &why);
	return r < 0 ? error_prefix(e, "cannot keep what is there") : 0;
}

/* The seal lies ready before the store changes, and whoever comes next puts it in place. */
static int replace_locked(struct restore *p, struct keystore *ks, bool overwrite, bool *ret_touched, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTOSEAL struct seal *seal = NULL;
	unsigned char hash[HASH_LEN];
	bool was = false;
	/* Looked at again: what others have stored since is in the old one now, or ends this with "busy" below. */
	int r = look_at(p, ks, overwrite, e);
	if (r < 0 || (r = seal_lock(ks->dir, true, &lock, e)) < 0 ||
	    (r = seal_from_bytes(ks->dir, p->seal, p->seal_len, false, &seal, e)) < 0 || (r = seal_finish(seal, hash, e)) < 0)
		return r;
	r = store_sqlite_restore(ks->store, p->file, p->ret->kept, e);
	/* What failed otherwise than for others may have reached the disk. */
	*ret_touched = r == 0 || e->kind != ERROR_BUSY;
	if (r < 0)
		return r;
	if ((r = seal_commit(seal, e)) < 0) {
		seal_keep(seal);
		return r;
	}
	ks->store->ops->scrub(ks->store);
	if (p->ret->other_root)
		cache_remove(ks->root_id, &was, NULL);
	return 0;
}

static int replace(struct restore *p, struct keystore *ks, bool overwrite, struct error *e)
{
	bool touched = false;
	struct error why = { 0 };
	int r = keep_old(p, ks, e);
	if (r < 0)
		return r;
	r = replace_locked(p, ks, overwrite, &touched, &why);
	if (r < 0 && !touched) {
		unlink(p->ret->kept);
		p->ret->kept[0] = 0;
	}
	return r < 0 ? error_pass(e, &why) : 0;
}

static int make_new(struct restore *p, const char *location, struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOCLOSE int dir = -1;
	AUTOCLOSE int lock = -1;
	AUTOSTORE struct store *store = NULL;
	AUTOSEAL struct seal *seal = NULL;
	unsigned char hash[HASH_LEN];
	bool made = false;
	int r = directory_make(location, &path, &dir, &made, e);
	if (r < 0 || (r = seal_lock(dir, true, &lock, e)) < 0 || (r = store_sqlite_discard(path, e)) < 0 ||
	    (r = store_sqlite_open(path, true, &store, e)) < 0 || (r = store_sqlite_restore(store, p->file, NULL, e)) < 0 ||
	    (r = seal_from_bytes(dir, p->seal, p->seal_len, true, &seal, e)) < 0 || (r = seal_finish(seal, hash, e)) < 0)
		return r;
	return seal_commit(seal, e);
}

/* Before anything is replaced by it: is the seal one, and that of the store? */
static int check_seal(const struct restore *p, struct error *e)
{
	int r = check_pair(p->store, p->seal, p->seal_len, e);
	if (r == -ESTALE)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is damaged: its seal and its store do not belong together",
				 p->file);
	return r < 0 ? error_prefix(e, "%s", p->file) : 0;
}

int keystore_restore(const char *location, const char *file, bool overwrite, bool dry_run,
		     struct keystore_restored *ret, struct error *e)
{
	CLEANUP(restore_clear) struct restore p = { .file = file, .ret = ret };
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error why = { 0 };
	*ret = (struct keystore_restored){ 0 };
	int r = open_backup(&p, e);
	if (r < 0 || (r = check_seal(&p, e)) < 0)
		return r;
	r = keystore_open(location, &ks, &why);
	if (r < 0 && why.kind != ERROR_NOT_FOUND)
		return error_pass(e, &why);
	if (ks && (r = look_at(&p, ks, overwrite, e)) < 0)
		return r;
	if (dry_run)
		return 0;
	return ks ? replace(&p, ks, overwrite, e) : make_new(&p, location, e);
}
