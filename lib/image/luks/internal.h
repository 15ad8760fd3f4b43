/* What the files of the LUKS part share; other rooms include lib/image/luks.h. */
#ifndef LIB_IMAGE_LUKS_INTERNAL_H
#define LIB_IMAGE_LUKS_INTERNAL_H

#include "lib/image/luks/luks.h"
#include "lib/image/luks/session.h"


/* A header with more would keep a processor busy for minutes; QEMU's defaults are a few million. */
#define LUKS_ITERATIONS_MAX 100000000u

struct luks {
	int fd;				/* memfd */
	size_t len;
	unsigned char *map;		/* read-only view */
	uint64_t data_size;
	struct crypt_session session;	/* without a context: see luks_context() */
	struct luks_info info;
};

/* A memfd of len zero bytes, mapped; luks_start() later opens libcryptsetup's context on it. */
int luks_new(size_t len, uint64_t data_size, struct luks **ret, struct error *e);

/* A fresh context that has not read anything yet. */
int luks_start(struct luks *l, struct error *e);

/* A fresh context that has read the header again, all checks, and l->info. */
int luks_reload(struct luks *l, struct error *e);

/*
 * l->session.cd for those who need it. Loading libcryptsetup and making it ready takes longer than looking at a usual
 * LUKS1 header and opening a keyslot, so one that is looked at has none until then.
 */
int luks_context(struct luks *l, struct error *e);

/* A libcryptsetup call failed with r: "what: its own message, or the errno". */
int luks_fail(const struct luks *l, enum error_kind kind, int r, struct error *e, const char *what);

/* Was the failure that of a cipher this machine does not have? */
bool luks_cipher_is_missing(const struct luks *l);

/* A volume key that only the kernel's ciphers take, and they cannot be reached. */
bool luks_needs_kernel(const struct luks *l);
#define LUKS_NEEDS_KERNEL \
	"a volume key of 384 bits, for which only the kernel has a cipher, and that is not reachable here"

/* Sets what the next keyslot made by the context costs. */
int luks_set_cost(struct luks *l, enum luks_kdf_cost cost, struct error *e);

/* "cipher_null-ecb" and relatives, in whatever notation. */
bool luks_cipher_is_null(const char *cipher);

/*
 * Opens the slot of a LUKS1 header. -EPERM: the passphrase does not open it; -ENOTSUP: not tried, the
 * slot is of a kind for libcryptsetup. *ret: the volume key, proven by the header's digest.
 */
int luks1_open(const struct luks *l, int slot, const struct secret *passphrase, struct secret **ret);

/* Is it of the kind that we make and most others are, which luks1_open() opens and nothing refuses? */
bool luks1_is_usual(const struct luks_info *info);

/* Of a phdr not yet checked, in bytes: payload offset; and where the last key material ends. */
uint64_t luks1_payload_offset(const unsigned char *phdr);
uint64_t luks1_keyslots_end(const unsigned char *phdr);

/* Checks of what libcryptsetup loaded, by its JSON; fills ret. */
int luks2_check_json(const char *json, size_t header_len, uint64_t data_size, struct luks_info *ret,
		     struct error *e);

/* Why libcryptsetup, which does not tell, may have refused a LUKS2 header; 0 if we do not know. */
int luks2_explain(const unsigned char *bytes, size_t len, struct error *e);

/*
 * How long the metadata of a LUKS2 header is, both copies and keyslots area, from the first len
 * bytes of a container: by its first copy, or by the second where the first is damaged.
 */
int luks2_region(const unsigned char *bytes, size_t len, uint64_t *ret, struct error *e);

#endif
