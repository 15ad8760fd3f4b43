/* Shared by the files of the seal only: the token that describes a slot. */
#ifndef KEYSTORE_SEAL_TOKEN_H
#define KEYSTORE_SEAL_TOKEN_H

#include "keystore/seal/slot.h"

#include <libcryptsetup.h>

#define SEAL_TOKENS_MAX 32

int seal_token_write(struct crypt_device *cd, int slot, const struct credential *c, struct error *e);
/* Fills *ret for the slot; SLOT_OTHER when no token of ours names it. */
int seal_token_read(struct crypt_device *cd, int slot, struct slot *ret, struct error *e);
/* Every token that names the slot: ours, and that of the program that opens it. */
int seal_token_remove(struct crypt_device *cd, int slot);

/* The slot's token of this LUKS2 type ("systemd-tpm2", "clevis"): its number, -ENOENT when there is none. */
int seal_token_find(struct crypt_device *cd, const char *type, int slot);

/* A text of that token; NULL when there is none, or no memory. The caller frees. */
char *seal_token_text(struct crypt_device *cd, const char *type, int slot, const char *name);

#endif
