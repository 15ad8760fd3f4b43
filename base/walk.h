/*
 * Following a path with safe steps only. Whoever may change a directory chooses what its names lead to: a step from
 * a directory that somebody less privileged may change, to something that is not his, is refused. What was reached is
 * held by descriptors, so that nothing is opened twice by name.
 *
 * Trusted are root and the user who runs this. Taken for granted is fs.protected_hardlinks, as every Debian has it.
 */
#ifndef BASE_WALK_H
#define BASE_WALK_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct walk {
	int dir;		/* O_PATH: the directory that holds the last part */
	int fd;			/* O_PATH: what the path leads to; -1: nothing is there */
	char *path;		/* canonical, without links; where nothing is, the last part as given */
	struct stat dir_st, st;	/* st: valid with fd */
	bool trusted;		/* nobody but root and this user can make the path lead elsewhere */
};
#define WALK_NONE { .dir = -1, .fd = -1 }

/*
 * The last part need not be there; a link that leads nowhere counts as not there. ERROR_REFUSED/EPERM for an unsafe
 * step: the message says which, and what to do. ERROR_NOT_FOUND when a directory is missing. On failure *ret is as it
 * was.
 */
int walk_path(const char *path, struct walk *ret, struct error *e);
/*
 * Likewise, but for what is to be done with the name itself, in ->dir: the last part is not followed if it is a link,
 * and may be anybody's.
 */
int walk_name(const char *path, struct walk *ret, struct error *e);
void walk_clear(struct walk *w);
#define AUTOWALK CLEANUP(walk_clear)

/* The last part of ->path: a name in ->dir. */
const char *walk_last(const struct walk *w);

/*
 * May something that belongs to owner ((uid_t)-1: to this user) be made under this name? Not where others than root,
 * this user and the owner could put something in its place: ERROR_REFUSED/EPERM.
 */
int walk_check_new(const struct walk *w, uid_t owner, struct error *e);

/* A descriptor of what was reached, by open(2)'s flags; -errno. */
int walk_open(const struct walk *w, int flags);

/*
 * Removes the name at path, what it leads to aside; without it: 0. Reached by safe steps; the directory is synced
 * unless nothing was there.
 */
int walk_remove(const char *path, struct error *e);

/* fsync of ->dir. */
int walk_sync(const struct walk *w, struct error *e);

/* Is this file what the name in ->dir leads to now? */
bool walk_is(const struct walk *w, int fd);

#endif
