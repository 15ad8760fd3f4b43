/* Options for a new way to unseal, shared by init and keystore add-slot. */
#ifndef CMD_NEW_SLOT_H
#define CMD_NEW_SLOT_H

#include "cmd/command.h"
#include "keystore/keystore.h"

struct new_slot_options {
	const char *passphrase_file;
	int passphrase_fd;
	const char *key_file, *recovery_key, *label;
};

/* Entries for the table of a command whose options struct begins with a struct new_slot_options. */
#define NEW_SLOT_OPT(field) offsetof(struct new_slot_options, field)
#define NEW_SLOT_KEY_FILE                                                                          \
	{ "key-file", OPTION_TEXT, NEW_SLOT_OPT(key_file), "FILE",                                 \
	  "unseal with the content of FILE; commands then do so by themselves", NULL,              \
	  COMPLETE_FILE, 0 }
#define NEW_SLOT_LABEL                                                                             \
	{ "label", OPTION_TEXT, NEW_SLOT_OPT(label), "TEXT",                                       \
	  "a note that `keystore status` shows beside the slot", NULL, COMPLETE_NONE, 0 }
#define NEW_SLOT_PASSPHRASE OPTION_PASSPHRASE(struct new_slot_options, "the new passphrase")
#define NEW_SLOT_RECOVERY_KEY                                                                      \
	{ "recovery-key", OPTION_TEXT, NEW_SLOT_OPT(recovery_key), "FILE",                         \
	  "generate a recovery key and write it once to the new FILE (- for stdout)", NULL,        \
	  COMPLETE_FILE, 0 }

#define NEW_SLOTS_MAX 3

/* What the options ask for, ready to become slots. */
struct new_slots {
	struct credential creds[NEW_SLOTS_MAX];
	size_t n;
	char *key_path;			/* absolute */
	struct secret *keys[NEW_SLOTS_MAX];
	const struct secret *recovery;	/* to show on stdout afterwards, or NULL */
	const char *written;		/* the recovery key's file, or NULL */
	bool keep;			/* set it when the slots exist: the file is worth keeping */
};

/*
 * Reads or generates the keys; without any option asks for a passphrase, twice. A recovery key's
 * file is written before the slot exists, since a slot whose key was lost opens nothing;
 * new_slots_clear() removes it again unless ->keep.
 */
int new_slots_gather(const struct context *ctx, const struct new_slot_options *o,
		     struct new_slots *ret, struct error *e);
/* Shows the recovery key that was asked for on stdout. */
int new_slots_show(const struct new_slots *s, struct error *e);
void new_slots_clear(struct new_slots *s);
#define AUTONEWSLOTS CLEANUP(new_slots_clear)

#endif
