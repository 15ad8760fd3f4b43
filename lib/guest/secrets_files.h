/* The files of secrets that others keep with libvirt, between its directory on disk and the one in memory. */
#ifndef LIB_GUEST_SECRETS_FILES_H
#define LIB_GUEST_SECRETS_FILES_H

#include "base/error.h"

/*
 * Every file of the directory `from` into `to` (descriptors), with mode and owner. A persistent secret of ours,
 * which has no business on a disk, is left out and told of to note.
 */
int secrets_files_copy(int from, int to, void (*note)(void *ctx, const char *text), void *ctx, struct error *e);

/*
 * Makes `disk` what `ram` is, synced, our own secrets left out: a secret that somebody defined meanwhile is kept, one
 * that was undefined is removed.
 */
int secrets_files_save(int ram, int disk, struct error *e);

#endif
