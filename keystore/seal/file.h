/* Shared by the files of the seal only: its bytes on disk. */
#ifndef KEYSTORE_SEAL_FILE_H
#define KEYSTORE_SEAL_FILE_H

#include "keystore/record/kdf.h"

#define SEAL_NAME "seal"
#define SEAL_NEW "seal.new"

/* Two copies of the metadata, then room for 16 keyslots of a 256-bit key (4000 stripes each). */
#define SEAL_METADATA_SIZE 16384u
#define SEAL_KEYSLOTS_SIZE (16u * 128 * 1024)
#define SEAL_SIZE (2 * SEAL_METADATA_SIZE + SEAL_KEYSLOTS_SIZE)
/* systemd-cryptenroll and the like change our file but have no reason to make it much larger. */
#define SEAL_SIZE_MAX (64u * 1024 * 1024)

int seal_file_open(int dir, const char *name, int *ret_fd, struct error *e);
int seal_file_hash(int fd, unsigned char ret[HASH_LEN], struct error *e);
bool seal_file_has_hash(int dir, const char *name, const unsigned char want[HASH_LEN]);
/* An empty `seal.new`, in place of one that an interrupted change left. */
int seal_file_new(int dir, int *ret_fd, struct error *e);
/* Overwrites an open file that has no name any more, as far as the file system writes in place. */
void seal_file_wipe(int fd);
/* `seal.new` becomes `seal`; what was there is wiped unless it has another name too. */
int seal_file_commit(int dir, bool replace, struct error *e);

#endif
