/*
 * The seal and the store change together: slots, root key, restore, and the first seal of all. The new seal lies ready
 * beside the old one, synced under a name of its own; then the transaction of the store that goes with it; then it
 * takes the old one's place, and only then is the old one destroyed. Killed on the way, or without an answer from a
 * failing disk, both are there, and whoever comes next asks the store which one it goes with.
 */
#include "keystore/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

int keystore_swap_seal(struct keystore *ks, struct seal *seal, swap_fn store, void *ctx, struct error *e)
{
	unsigned char digest[HASH_LEN];
	int r = seal_finish(seal, digest, e);
	if (r < 0)
		return r;
	r = store(ks, digest, ctx, e);
	if (r < 0 && ks->store && store_is_unsettled(ks->store)) {
		seal_keep(seal);
		return error_prefix(e, "nothing is lost, but whether this was done cannot be said before the disk "
				       "works again");
	}
	if (r < 0)
		return r;
	if ((r = seal_commit(seal, e)) < 0) {
		seal_keep(seal);
		return error_prefix(e, "this was done but for the last step, which the next change of the keystore "
				       "does");
	}
	return 0;
}

/* What the store says of the seal in force: its digest, in the trail of an older kvmcrypt the hash of the file. */
static int logged(struct keystore *ks, bool *ret_found, unsigned char ret[HASH_LEN], struct error *e)
{
	struct audit_head head;
	struct store_audit row;
	int r = audit_head_read(ks->store, ks->audit_key, &head, e);
	*ret_found = !head.old;
	if (r == 0 && head.old)
		r = audit_newest(ks->store, ks->audit_key, NULL, 1u << AUDIT_SEAL, ret_found, &row, e);
	if (r == 0 && *ret_found)
		memcpy(ret, head.old ? row.hash : head.seal, HASH_LEN);
	return r;
}

int keystore_finish_swap(struct keystore *ks, struct error *e)
{
	unsigned char digest[HASH_LEN];
	uuid_t root_id;
	size_t len = sizeof(root_id);
	bool found = false;
	if (!seal_is_pending(ks->dir))
		return 0;
	/*
	 * What somebody was killed over may be in the page cache only, or not be stored although it is in the
	 * journal.
	 */
	int r = store_settle(ks->store, e);
	if (r < 0 || (r = store_meta_get(ks->store, META_ROOT_ID, root_id, &len, e)) < 0 ||
	    (r = logged(ks, &found, digest, e)) < 0)
		return r;
	return seal_recover(ks->dir, found ? digest : NULL, root_id, e);
}

/* Backups that were begun and never finished: whoever makes one has the lock. */
static void sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		cleanup_close(&fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(d));)
		if (!strncmp(entry->d_name, "." BEFORE_RESTORE, strlen("." BEFORE_RESTORE)) ||
		    !strncmp(entry->d_name, "." BACKUP_COPY ".", strlen("." BACKUP_COPY ".")))
			unlinkat(dir, entry->d_name, 0);
	closedir(d);
}

int keystore_settle(struct keystore *ks, struct error *e)
{
	AUTOCLOSE int lock = -1;
	uuid_t root_id;
	size_t len = sizeof(root_id);
	int r = seal_lock(ks->dir, true, &lock, e);
	if (r == 0)
		r = keystore_finish_swap(ks, e);
	if (r == 0)
		r = store_meta_get(ks->store, META_ROOT_ID, root_id, &len, e);
	if (r == 0)
		r = seal_drop_new(ks->dir, root_id, e);
	if (r == 0)
		keystore_pin_settle(ks);
	if (r == 0)
		sweep(ks->dir);
	return r;
}

int keystore_settle_seal(struct keystore *ks, struct error *e)
{
	AUTOCLOSE int lock = -1;
	size_t len = sizeof(uuid_t);
	int r = 0;
	if (seal_is_pending(ks->dir) && (r = seal_lock(ks->dir, true, &lock, e)) == 0)
		r = keystore_finish_swap(ks, e);
	return r < 0 ? r : store_meta_get(ks->store, META_ROOT_ID, ks->root_id, &len, e);
}

/* ---- the seal in force ---- */

int keystore_seal_fits(struct keystore *ks, const struct seal *seal, struct error *e)
{
	unsigned char digest[HASH_LEN];
	struct audit_head head;
	int r = seal_digest(seal, digest, e);
	if (r < 0 || (r = audit_head_read(ks->store, ks->audit_key, &head, e)) < 0)
		return r;
	/* That of an older kvmcrypt is compared with its trail when the store is upgraded, at the first change. */
	if (head.old || secret_same(digest, head.seal, HASH_LEN))
		return 0;
	return error_set(e, ERROR_DAMAGED, EBADMSG, SEAL_UNFIT);
}

int keystore_check_seal(struct keystore *ks, const struct seal *seal, struct error *e)
{
	AUTOSEAL struct seal *now = NULL;
	AUTOCLOSE int lock = -1;
	struct error why = { 0 };
	int r = keystore_seal_fits(ks, seal, &why);
	if (r == 0 || why.kind != ERROR_DAMAGED)
		return r < 0 ? error_pass(e, &why) : 0;
	/* Another process may have changed the slots between the seal and the head, or be killed there. */
	if ((r = seal_lock(ks->dir, true, &lock, e)) < 0 || (r = keystore_finish_swap(ks, e)) < 0 ||
	    (r = seal_snapshot(ks->dir, &now, e)) < 0)
		return r;
	return keystore_seal_fits(ks, now, e);
}

int keystore_load_seal(struct keystore *ks, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *seal = NULL;
	uuid_t id;
	int r = seal_load(ks->dir, &seal, e);
	if (r < 0 || (r = seal_root_id(seal, id, e)) < 0)
		return r;
	if (uuid_compare(id, ks->root_id)) {
		seal_free(TAKE_PTR(seal));
		/* What is still another seal then will be told of by who opens it. */
		if ((r = keystore_settle_seal(ks, e)) < 0 || (r = seal_load(ks->dir, &seal, e)) < 0)
			return r;
	}
	if (ks->root && !ks->tolerant && (r = keystore_check_seal(ks, seal, e)) < 0)
		return r;
	*ret = TAKE_PTR(seal);
	return 0;
}
