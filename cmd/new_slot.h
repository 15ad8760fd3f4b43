/* Options for new ways to unseal, shared by init, keystore add-slot and keystore rekey. */
#ifndef CMD_NEW_SLOT_H
#define CMD_NEW_SLOT_H

#include "cmd/command.h"
#include "keystore/keystore.h"

struct new_slot_options {
	const char *passphrase_file, *pin_file;
	int passphrase_fd, pin_fd;
	const char *key_file, *credential, *recovery_key, *label;
	const char *tpm2, *tpm2_pcrs, *tpm2_public_key, *tpm2_public_key_pcrs, *tpm2_signature, *tpm2_pcrlock;
	bool tpm2_with_pin;
	const char *tang, *tang_thumbprint;
	uint64_t tang_threshold;
	bool trust;
	const char *pkcs11, *fido2;
	bool fido2_with_pin;
};

/*
 * Entries for the table of a command whose options struct begins with a struct new_slot_options, in
 * three runs between which a command's own entries keep the table in order of the alphabet.
 */
#define NEW_SLOT_OPT(field) offsetof(struct new_slot_options, field)
#define NEW_SLOT_CREDENTIAL                                                                        \
	{ "credential", OPTION_TEXT, NEW_SLOT_OPT(credential), "FILE",                             \
	  "unseal with the content of FILE, which will come as systemd's credential kvmcrypt.key", \
	  NULL, COMPLETE_FILE, 0 }
#define NEW_SLOT_FIDO2                                                                             \
	{ "fido2", OPTION_AUTO, NEW_SLOT_OPT(fido2), "DEVICE",                                     \
	  "unseal with a FIDO2 security token, by touching it", NULL, COMPLETE_FILE, 0 },          \
	{ "fido2-with-pin", OPTION_FLAG, NEW_SLOT_OPT(fido2_with_pin), NULL,                       \
	  "ask for the token's PIN too", NULL, COMPLETE_NONE, 0 }
#define NEW_SLOT_KEYS                                                                              \
	{ "key-file", OPTION_TEXT, NEW_SLOT_OPT(key_file), "FILE",                                 \
	  "unseal with the content of FILE; commands then do so by themselves", NULL,              \
	  COMPLETE_FILE, 0 },                                                                      \
	{ "label", OPTION_TEXT, NEW_SLOT_OPT(label), "TEXT",                                       \
	  "a note that `keystore status` shows beside the slot", NULL, COMPLETE_NONE, 0 },         \
	OPTION_PASSPHRASE(struct new_slot_options, "the new passphrase"),                          \
	OPTION_PIN(struct new_slot_options),                                                       \
	{ "pkcs11", OPTION_TEXT, NEW_SLOT_OPT(pkcs11), "URI",                                      \
	  "unseal with a PKCS#11 token (RFC 7512 URI) and its PIN", NULL, COMPLETE_NONE, 0 },      \
	{ "recovery-key", OPTION_TEXT, NEW_SLOT_OPT(recovery_key), "FILE",                         \
	  "generate a recovery key and write it once to the new FILE (- for stdout)", NULL,        \
	  COMPLETE_FILE, 0 },                                                                      \
	{ "tang", OPTION_TEXT, NEW_SLOT_OPT(tang), "URL[,URL]...",                                 \
	  "unseal with the help of these Tang servers; commands then do so by themselves", NULL,   \
	  COMPLETE_NONE, 0 },                                                                      \
	{ "tang-threshold", OPTION_NUMBER, NEW_SLOT_OPT(tang_threshold), "N",                      \
	  "so many of the servers have to answer (default: all)", NULL, COMPLETE_NONE, 0 },        \
	{ "tang-thumbprint", OPTION_TEXT, NEW_SLOT_OPT(tang_thumbprint), "THP[,THP]...",           \
	  "trust only servers that sign with these keys (default: shows them and asks)", NULL,     \
	  COMPLETE_NONE, 0 },                                                                      \
	{ "tpm2", OPTION_AUTO, NEW_SLOT_OPT(tpm2), "DEVICE",                                       \
	  "unseal with this machine's TPM 2.0; commands then do so by themselves", NULL,           \
	  COMPLETE_FILE, 0 },                                                                      \
	{ "tpm2-pcrlock", OPTION_TEXT, NEW_SLOT_OPT(tpm2_pcrlock), "FILE",                         \
	  "bind to this policy of systemd-pcrlock(8), which updates renew (systemd 255 and later)", \
	  NULL, COMPLETE_FILE, 0 },                                                                \
	{ "tpm2-pcrs", OPTION_TEXT, NEW_SLOT_OPT(tpm2_pcrs), "PCR[+PCR]...",                       \
	  "bind to the values of these PCRs now (default: 7, none with --tpm2-pcrlock; empty: none)", \
	  NULL, COMPLETE_NONE, 0 },                                                                \
	{ "tpm2-public-key", OPTION_TEXT, NEW_SLOT_OPT(tpm2_public_key), "FILE",                   \
	  "bind to PCR values signed with this key (PEM)", NULL, COMPLETE_FILE, 0 },               \
	{ "tpm2-public-key-pcrs", OPTION_TEXT, NEW_SLOT_OPT(tpm2_public_key_pcrs), "PCR[+PCR]...", \
	  "the PCRs that are signed (default: 11)", NULL, COMPLETE_NONE, 0 },                      \
	{ "tpm2-signature", OPTION_TEXT, NEW_SLOT_OPT(tpm2_signature), "FILE",                     \
	  "the signed values (default: /etc/systemd/tpm2-pcr-signature.json and the like)", NULL,  \
	  COMPLETE_FILE, 0 },                                                                      \
	{ "tpm2-with-pin", OPTION_FLAG, NEW_SLOT_OPT(tpm2_with_pin), NULL,                         \
	  "the TPM wants a PIN besides, so a person has to unseal", NULL, COMPLETE_NONE, 0 }
#define NEW_SLOT_TRUST                                                                             \
	{ "yes", OPTION_FLAG, NEW_SLOT_OPT(trust), NULL,                                           \
	  "trust the Tang servers' keys without asking", NULL, COMPLETE_NONE, 'y' }

#define NEW_SLOTS_MAX 8

/* What the options ask for, ready to become slots. */
struct new_slots {
	struct credential creds[NEW_SLOTS_MAX];
	struct slot_params params[NEW_SLOTS_MAX];
	size_t n;
	char *paths[NEW_SLOTS_MAX];	/* absolute */
	struct secret *keys[NEW_SLOTS_MAX];
	const struct secret *recovery;	/* to show on stdout afterwards, or NULL */
	const char *written;		/* the recovery key's file, or NULL */
	bool keep;			/* set it when the slots exist: the file is worth keeping */
};

/* How many slots the options ask for; 0: none was named. */
size_t new_slots_count(const struct new_slot_options *o);

/*
 * Reads or generates the keys; without any option asks for a passphrase, twice. A recovery key's
 * file is written before the slot exists, since a slot whose key was lost opens nothing;
 * new_slots_clear() removes it again unless ->keep. *ret is filled in place and may not be copied.
 */
int new_slots_gather(const struct context *ctx, const struct new_slot_options *o,
		     struct new_slots *ret, struct error *e);
/* Shows the recovery key that was asked for on stdout. */
int new_slots_show(const struct new_slots *s, struct error *e);
void new_slots_clear(struct new_slots *s);
#define AUTONEWSLOTS CLEANUP(new_slots_clear)

#endif
