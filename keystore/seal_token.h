/* Shared by the files of the seal only: the token that describes a slot. */
#ifndef KEYSTORE_SEAL_TOKEN_H
#define KEYSTORE_SEAL_TOKEN_H

#include "keystore/keystore.h"

#include <libcryptsetup.h>

#define SEAL_TOKENS_MAX 32

int seal_token_write(struct crypt_device *cd, int slot, const struct credential *c, struct error *e);
/* Fills *ret for the slot; SLOT_OTHER when no token of ours names it. */
int seal_token_read(struct crypt_device *cd, int slot, struct slot *ret, struct error *e);
/* Every token of ours that names the slot. */
int seal_token_remove(struct crypt_device *cd, int slot);

#endif
