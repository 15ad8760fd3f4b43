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
	unsigned char hash[HASH_LEN];
	int r = seal_finish(seal, hash, e);
	if (r < 0)
		return r;
	r = store(ks, hash, ctx, e);
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

int keystore_finish_swap(struct keystore *ks, struct error *e)
{
	struct store_audit logged;
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
	    (r = audit_newest(ks->store, ks->audit_key, NULL, 1u << AUDIT_SEAL, &found, &logged, e)) < 0)
		return r;
	return seal_recover(ks->dir, found ? logged.hash : NULL, root_id, e);
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
