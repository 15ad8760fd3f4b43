/* The person at the terminal: passphrase prompts, confirmations, and opening the keystore for them. */
#ifndef CMD_PERSON_H
#define CMD_PERSON_H

#include "base/secret.h"
#include "cmd/command.h"
#include "keystore/keystore.h"

/*
 * A passphrase from --passphrase-file (- is stdin; without its last newline), --passphrase-fd, or the terminal: echo
 * off, asked twice with `twice`, and up to three times after a slip. Both options at once are ERROR_USAGE. Without a
 * terminal and without an option: ERROR_USAGE that names the options.
 */
int person_passphrase(const char *file, int fd, const char *prompt, bool twice, struct secret **ret, struct error *e);

/* What a passphrase is to open; ERROR_BAD_KEY: another one may. */
struct person_key {
	int (*open)(void *context, const struct secret *key, struct error *e);
	void *context;
};

/* person_passphrase() for one that exists: at the terminal three tries. *ret: the one that opened. */
int person_open_with(const char *file, int fd, const char *prompt, const struct person_key *opens, struct secret **ret,
		     struct error *e);

/* The PIN of a device, from --pin-file, --pin-fd or the terminal. A device counts wrong ones, so it gets one. */
int person_pin(const char *file, int fd, const char *prompt, bool twice, struct secret **ret, struct error *e);

/* The text of a file with certificates (PEM). The caller frees. */
int person_certificate(const char *file, char **ret, struct error *e);

/* The contents of a key file, byte for byte; - is not allowed here. */
int person_key_file(const char *path, struct secret **ret, struct error *e);

/* That of a volume, as cryptsetup reads its --key-file: - is stdin. */
int person_volume_key_file(const char *path, struct secret **ret, struct error *e);

/*
 * Asks `question` on the terminal; only "yes" goes on. With yes no question; without a terminal
 * ERROR_REFUSED that names --yes.
 */
int person_confirm(bool yes, const char *question, struct error *e);

/* A recovery key and a newline to a new file (0600), or with - to standard output. */
int person_write_recovery(const struct secret *key, const char *path, struct error *e);

/* Opens the keystore of ctx, still sealed: for commands that read plain fields. */
int person_open_keystore(const struct context *ctx, struct keystore **ret, struct error *e);

/* Of this root key (its ID), whatever is pinned; NULL: person_open_keystore(). */
int person_open_expecting(const struct context *ctx, const char *root_id, struct keystore **ret, struct error *e);

/* Says so if no root key is pinned for the keystore. */
void person_note_pin(const struct context *ctx, const struct keystore *ks);

/* Unseals it with a passphrase or recovery key of person_open_with(). */
int person_unseal(struct keystore *ks, const char *file, int fd, struct secret **ret, struct error *e);

/* With a passphrase if one is given; else by itself if it can, or by asking on the terminal, or ERROR_SEALED. */
int person_unseal_for(struct keystore *ks, const char *file, int fd, struct error *e);

/* Opened and unsealed: by itself if it can, else by asking on the terminal, else ERROR_SEALED. */
int person_unsealed_keystore(const struct context *ctx, struct keystore **ret, struct error *e);

#endif
