/*
 * libvirt's directory of persistent secrets, in memory: a ramfs that is filled and then mounted over
 * it while no daemon runs. libvirt reads UUID.xml and UUID.base64 at its start (formatsecret.html), so
 * guests that start with it find their keys, and nothing of ours is on a disk.
 */
#ifndef LIB_GUEST_SECRETS_DIR_H
#define LIB_GUEST_SECRETS_DIR_H

#include "base/secret.h"

#include <stdbool.h>
#include <uuid/uuid.h>

#define SECRETS_DIR_DEFAULT "/etc/libvirt/secrets"

struct secrets_dir {
	char *path;	/* the daemon's directory */
	char *work;	/* where files are written: there, or in the file system that is not mounted yet */
	int mount;	/* that file system, or -1 */
	bool was_ram;	/* the directory was in memory already */
	int lock;	/* one at a time */
};

/*
 * Begins: a new ramfs with copies of what others have in the directory, or the directory itself if it is in
 * memory already. Nobody sees the ramfs before secrets_dir_commit(), so at every moment others' secrets are
 * there. Needs root. ERROR_BUSY: a daemon runs, and what to do.
 * note: a line for a person, or NULL.
 */
int secrets_dir_begin(const char *path, void (*note)(void *ctx, const char *text), void *ctx, struct secrets_dir **ret,
		      struct error *e);
void secrets_dir_free(struct secrets_dir *d);
static inline void secrets_dir_freep(struct secrets_dir **d)
{
	secrets_dir_free(*d);
}
#define AUTOSECRETSDIR CLEANUP(secrets_dir_freep)

/*
 * The secret of a volume as libvirt 9 keeps a persistent one; all later ones read it, too. *ret_changed: it was not so
 * before.
 */
int secrets_dir_put(struct secrets_dir *d, const uuid_t volume, const char *path, const struct secret *passphrase,
		    bool *ret_changed, struct error *e);
/* Its files, if they are there. */
int secrets_dir_forget(struct secrets_dir *d, const uuid_t volume, struct error *e);
bool secrets_dir_has(const char *path, const uuid_t volume);

/* Mounts what was begun; ERROR_BUSY, and not mounted, if a daemon has started meanwhile. */
int secrets_dir_commit(struct secrets_dir *d, struct error *e);

/*
 * The way back, while no daemon runs: what others have in the ramfs becomes what is in the directory on disk, the
 * ramfs is unmounted and with it our secrets are gone. *ret_was: there was one.
 */
int secrets_dir_leave(const char *path, bool *ret_was, struct error *e);

/* guest_daemon_runs() for whom the process is of no interest. */
int secrets_dir_daemon_runs(bool *ret, struct error *e);

/* ERROR_BUSY while a daemon of libvirt runs; it says what to stop. */
int secrets_dir_check_stopped(const char *path, struct error *e);

/* Is a file system in memory mounted right there? */
bool secrets_dir_is_mounted(const char *path);

#endif
