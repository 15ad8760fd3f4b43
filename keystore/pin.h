/*
 * Which root key the keystore at a path has, noted outside of its directory: who can write there, or brings a tampered
 * backup, could put a keystore of his own in its place, which his key file opens. A small file for each path, in
 * $KVMCRYPT_PINS, else /etc/kvmcrypt for root and $XDG_CONFIG_HOME/kvmcrypt for others.
 */
#ifndef KEYSTORE_PIN_H
#define KEYSTORE_PIN_H

#include "base/error.h"

#include <stdbool.h>
#include <uuid/uuid.h>

struct pin {
	uuid_t root;	/* null: none */
	uuid_t next;	/* while the root key is changed: either of the two is right; null: none */
};

/* The file's name, for messages; the caller frees. */
int pin_file(const char *keystore, char **ret, struct error *e);
/* *ret_found false: there is none. ERROR_DAMAGED, or ERROR_REFUSED when others may write it. */
int pin_read(const char *keystore, bool *ret_found, struct pin *ret, struct error *e);
/* Durable, as a whole. Both null: no pin any more. */
int pin_write(const char *keystore, const struct pin *pin, struct error *e);

/* Removes what an interrupted pin_write() left. Both are called under the lock of the seal. */
void pin_sweep(const char *keystore);

bool pin_fits(const struct pin *pin, const uuid_t root_id);

#endif
