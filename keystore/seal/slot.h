/* The ways to unseal, as everybody sees them: kinds of slots, what makes one, what is known of one. */
#ifndef KEYSTORE_SEAL_SLOT_H
#define KEYSTORE_SEAL_SLOT_H

#include "base/error.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All kinds: the one line that a new kind needs besides a file of its own, which says what it can (seal/kind.h). */
#define SLOT_KINDS(KIND)                                                                               \
	KIND(SLOT_PASSPHRASE, slot_kind_passphrase)	/* from a person */                            \
	KIND(SLOT_RECOVERY, slot_kind_recovery)		/* generated recovery key */                   \
	KIND(SLOT_KEY_FILE, slot_kind_key_file)		/* contents of a file */                       \
	KIND(SLOT_TPM2, slot_kind_tpm2)			/* sealed by a TPM, by systemd-cryptenroll */  \
	KIND(SLOT_TANG, slot_kind_tang)			/* network-bound, by clevis */                 \
	KIND(SLOT_PKCS11, slot_kind_pkcs11)		/* security token or smart card, by systemd-cryptenroll */ \
	KIND(SLOT_FIDO2, slot_kind_fido2)		/* security token with hmac-secret, by systemd-cryptenroll */

#define SLOT_NUMBER(number, kind) number,
enum slot_type {
	SLOT_OTHER,	/* made by another program; kvmcrypt cannot use it */
	SLOT_KINDS(SLOT_NUMBER)
	SLOT_TYPES
};
#undef SLOT_NUMBER

const char *slot_type_name(enum slot_type t);	/* "passphrase", "key-file", "tpm2" …, "other" */

/* How a slot of a device or server was made; remembered beside it. Each text is NULL if not given. */
struct slot_params {
	char *device;		/* TPM2: "auto", a node or a TCTI; PKCS#11: a URI; FIDO2: "auto" or a node */
	char *pcrs;		/* TPM2: "7+11"; NULL: 7, or none beside a pcrlock policy */
	char *public_key;	/* TPM2, signed PCR policy: PEM file */
	char *public_key_pcrs;	/* NULL: 11 */
	char *signature;	/* JSON file with the signatures; NULL: systemd's usual places */
	char *pcrlock;		/* policy of systemd-pcrlock, JSON file; NULL: none */
	char *servers;		/* Tang: URLs, comma-separated */
	char *thumbprints;	/* of their signing keys, in the same order */
	unsigned threshold;	/* so many of the servers must answer; 0: all */
	bool with_pin;
};
void slot_params_clear(struct slot_params *p);
int slot_params_copy(const struct slot_params *p, struct slot_params *ret, struct error *e);

/* Something that may open the seal. */
struct credential {
	enum slot_type type;
	/* What the person typed, the file's contents (NULL: read it at path), or a device's PIN (or NULL). */
	const struct secret *key;
	const char *path;		/* key file: remembered in the slot, so that commands unseal by themselves */
	const char *label;		/* or NULL */
	const struct slot_params *params;	/* of a device or server, else NULL */
};

struct slot {
	int slot;
	enum slot_type type;
	char *label;	/* or NULL */
	char *path;	/* key file, or NULL */
	struct slot_params params;
	int64_t created;
};
void slots_free(struct slot *slots, size_t n);

/*
 * "slot 1 (key-file, /root/k); slot 2 (…)": those that are wanted (NULL: all), with whatever the slot trusts. The
 * caller frees. What is in it may be foreign: print it through an error, or make it printable.
 */
int slots_describe(const struct slot *slots, size_t n, bool (*wanted)(const struct slot *s, void *ctx), void *ctx,
		   char **ret, struct error *e);

/* Does it open without a person? If so *ret_turn (or NULL) says when its kind is tried: local and quick ones first. */
bool slot_works_alone(const struct slot *s, unsigned *ret_turn);
/*
 * May such a slot be made from this: a file at an absolute path, a TPM, http(s) servers …? ERROR_USAGE. p may be NULL
 * where the kind has no device.
 */
int slot_check(enum slot_type t, const char *path, const struct slot_params *p, struct error *e);
/* The content of a key file, when nobody else can have read or written it; else ERROR_SEALED. */
int slot_read_key_file(const char *path, struct secret **ret, struct error *e);
/* Is its key held by a device or server? */
bool slot_is_device(enum slot_type t);

#endif
