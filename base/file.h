/* Files: whole reads and writes, and new files that appear complete or not at all. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* All len bytes or an error; a short file is ERROR_DAMAGED/ENODATA. `what` names it in errors. */
int file_pread(int fd, void *buf, size_t len, uint64_t offset, const char *what, struct error *e);
int file_pwrite(int fd, const void *buf, size_t len, uint64_t offset, const char *what,
		struct error *e);
/* To a pipe, a terminal or at the end of a file. */
int file_write(int fd, const void *buf, size_t len, const char *what, struct error *e);
int file_sync(int fd, const char *what, struct error *e);
/* All of the one file to the beginning of the other, holes too; what names the copy. */
int file_copy(int from, int to, const char *what, struct error *e);

/*
 * The next stretch of data in [from, end) of fd: [*ret_start, *ret_end); *ret_start == end: there are
 * only holes. All of it where the file cannot tell, as a block device.
 */
int file_next_data(int fd, uint64_t from, uint64_t end, uint64_t *ret_start, uint64_t *ret_end, const char *what,
		   struct error *e);

/* A whole text file, zero-terminated, "" where there is none. At most a mebibyte. The caller frees. */
int file_read_text(const char *path, char **ret, struct error *e);

/* fsync of the directory that holds path, so that a rename or unlink in it lasts. */
int file_sync_dir_of(const char *path, struct error *e);

/*
 * The absolute path without links; the last part need not exist. By safe steps alone (base/walk.h), so that nobody
 * chooses where it leads who may not write there. Caller frees.
 */
int file_canonical(const char *path, char **ret, struct error *e);

/*
 * With the last part kept as it is, also if it is a link: what udev names a device by
 * (/dev/disk/by-id/…, /dev/vg/lv) lasts longer than what it points to.
 */
int file_canonical_dir(const char *path, char **ret, struct error *e);

/* Is there a block device at path (links are followed)? What cannot be looked at is none. */
bool file_is_block_device(const char *path);

/* One file or device by two names: a hard link, another node of a device? */
bool file_is_same(const struct stat *a, const struct stat *b);
/* What lies at both paths (links are followed); what cannot be looked at is not the same. */
bool file_is_same_at(const char *a, const char *b);

/* Size in bytes of a regular file or block device; anything else is ERROR_USAGE. */
int file_size(int fd, const char *what, uint64_t *ret, struct error *e);

/*
 * A file in the making, mode 0600, open read-write: unnamed, or <dir>/.<name>.<random>.kvmcrypt-new. Its directory is
 * reached by safe steps and held, so that all of it happens in one place. file_new_free() removes it unless committed.
 */
struct file_new {
	int fd, dir;
	/* Set before file_new_open(): only where nobody but root, this user and owner may change names. */
	bool image;
	uid_t owner;
	char *path;	/* where it will be */
	char *tmp;	/* where it is */
	bool unnamed;	/* it is nowhere yet */
	bool committed;
};
#define FILE_NEW_SUFFIX ".kvmcrypt-new"
/* Unnamed, where the file system can do that. */
int file_new_begin(const char *path, struct file_new **ret, struct error *e);
/* With the name, in two steps, for a caller that must note ->tmp somewhere before the file exists. */
int file_new_plan(const char *path, struct file_new **ret, struct error *e);
int file_new_open(struct file_new *f, struct error *e);
/* With the ->tmp of an earlier file_new_plan(), as it was noted. */
int file_new_plan_as(const char *path, const char *tmp, struct file_new **ret, struct error *e);

/*
 * Syncs, names it ->path and syncs the directory. Without replace an existing file stays and
 * the result is ERROR_EXISTS; there is no moment at which both could be lost.
 */
int file_new_commit(struct file_new *f, bool replace, struct error *e);
void file_new_free(struct file_new *f);
static inline void file_new_freep(struct file_new **f)
{
	file_new_free(*f);
}
#define AUTOFILE_NEW CLEANUP(file_new_freep)

/*
 * Writes data as a new file of the given mode. One that replaces has the name .<name>.kvmcrypt-new until then; what an
 * interrupted process left of it goes with the next, and with file_sweep(). ERROR_BUSY: another process is at it.
 */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool replace,
		      struct error *e);

int file_sweep(const char *path, struct error *e);

/* True when path lies on ramfs, or on tmpfs while no swap is on: nothing written there reaches a disk. */
bool file_is_ram(const char *path);

#endif
