/*
 * LUKS headers through libcryptsetup, always on a memfd copy: the container decides when and how
 * bytes reach the disk. Formats: "LUKS1 On-Disk Format Specification" 1.2.3, "LUKS2 On-Disk
 * Format Specification" 1.1.1.
 */
#ifndef LIB_IMAGE_LUKS_LUKS_H
#define LIB_IMAGE_LUKS_LUKS_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "lib/image/luks/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uuid/uuid.h>

/* How a passphrase was made decides what its keyslot costs. */
enum luks_kdf_cost {
	LUKS_KDF_GENERATED,	/* 256 random bits: PBKDF2-SHA256, 1000 iterations (milliseconds) */
	LUKS_KDF_PERSON,	/* LUKS1: PBKDF2 at about a second, fixed; LUKS2: Argon2id */
};

struct luks_params {
	int version;			/* 1 or 2 */
	const char *cipher;		/* "aes-xts-plain64" */
	unsigned key_bits;		/* 256 or 512 for XTS; with an HMAC its 256 are not counted */
	unsigned sector_size;		/* 512 for LUKS1 */
	const unsigned char *uuid;	/* 16 bytes, or NULL for a random one */
	const char *label;		/* LUKS2 only, or NULL */
	bool detached;			/* the data begins at byte 0 of another file */
	const struct secret *volume_key;	/* or NULL for a random one; see luks_volume_key_len() */
	/*
	 * LUKS2 only: "hmac(sha256)" or "aead", or NULL. The superblock of dm-integrity is then
	 * written to data_device at once, which needs device-mapper; its data area has to be
	 * written in full before it can be read.
	 */
	const char *integrity;
	const char *data_device;
	/*
	 * For a header that has to fit where another one was, all in bytes; 0: as made here by default.
	 * data_offset: where the data begins (0 and detached: elsewhere); LUKS2: of each metadata copy,
	 * and of the keyslots area.
	 */
	uint64_t data_offset, metadata_size, keyslots_size;
};

/* Bytes of the volume key that these parameters ask for. */
size_t luks_volume_key_len(const struct luks_params *p);

struct luks_keyslot {
	int slot;
	bool active;
	bool unbound;		/* LUKS2: active, but what it holds is not the volume key */
	unsigned key_bits;	/* of what it holds */
	char kdf[16];		/* "pbkdf2", "argon2id" */
	uint32_t iterations;
	uint64_t mark;		/* the beginning of its salt, which no other has that took its number */
	uint64_t key_offset;	/* of the key material, bytes from the header's start */
	uint64_t key_length;	/* bytes, all stripes */
};
#define LUKS_KEYSLOTS_MAX 32

struct luks_info {
	int version;
	uuid_t uuid;
	char cipher[64];	/* "aes-xts-plain64" */
	char hash[32];		/* of the PBKDF2 of a LUKS1 header, or of a LUKS2 digest */
	unsigned key_bits;
	unsigned sector_size;
	char integrity[32];	/* LUKS2: "hmac(sha256)", "aead"; "" for none */
	unsigned char digest[64];
	size_t digest_len;
	uint32_t digest_iterations;
	unsigned char digest_salt[32];
	uint64_t data_offset;	/* bytes; 0: a detached header */
	uint64_t iv_tweak;	/* LUKS2: added to the sector's number; 0 in all but odd headers */
	uint64_t data_size;	/* bytes, where a LUKS2 header fixes it; 0: all that follows */
	uint64_t metadata_size, keyslots_size;	/* LUKS2; 0 for LUKS1 */
	int n_keyslots;		/* how many the format has */
	struct luks_keyslot keyslots[LUKS_KEYSLOTS_MAX];
};

/* The keyslots in use, a bit each by their number. */
uint64_t luks_active_slots(const struct luks_info *info);
/* How many keyslots of the format are not in use. */
int luks_free_keyslots(const struct luks_info *info);

/* An open header: the memfd and libcryptsetup's context on it. */
struct luks;

/*
 * Formats a new header with one keyslot for passphrase. The volume key is generated and returned
 * as a secret too, so that the keystore can rebuild a lost header. Nothing touches a disk.
 */
int luks_format(const struct luks_params *p, const struct secret *passphrase, enum luks_kdf_cost cost,
		struct luks **ret, struct secret **ret_volume_key, struct error *e);

/*
 * Takes a copy of an untrusted header. Checked before libcryptsetup sees it: magic, version,
 * offsets and lengths inside len and not overlapping, iteration counts and stripes within limits,
 * no null cipher in segment or keyslot. ERROR_DAMAGED says which field is wrong; with EPROTO the header's
 * checksum is right, so that somebody made it so. data_size is the
 * number of bytes of the whole container (for the payload offset check), 0 if unknown.
 */
int luks_load(const void *header, size_t len, uint64_t data_size, struct luks **ret, struct error *e);
/* For looking only: of a LUKS1 header no more is taken than its fields and the keyslots in use. */
int luks_load_used(const void *header, size_t len, uint64_t data_size, struct luks **ret, struct error *e);
void luks_free(struct luks *l);

/*
 * What the first len bytes of a container say before they are checked: the LUKS version, 0 for
 * none; and how many bytes luks_load() wants. len: LUKS_PROBE_LEN, or all if there are fewer.
 */
#define LUKS_PROBE_LEN (8u * 1024 * 1024)	/* two LUKS2 copies of the largest size */
int luks_version_of(const unsigned char *bytes, size_t len);
int luks_region_of(const unsigned char *bytes, size_t len, uint64_t *ret, struct error *e);

static inline void luks_freep(struct luks **l)
{
	luks_free(*l);
}
#define AUTOLUKS CLEANUP(luks_freep)

/* The pure check of the bytes of a LUKS1 phdr (592 bytes) that luks_load() makes; fuzzed. */
int luks1_check(const void *phdr, size_t len, uint64_t header_len, uint64_t data_size,
		struct luks_info *ret, struct error *e);

/*
 * Does QEMU's LUKS driver, and so a guest, open a volume with such a header? *ret_why (untouched if it does): what
 * it does not know of it, as "its cipher mode".
 */
bool luks_qemu_can_open(const struct luks_info *info, const char **ret_why);

/* State as of now (re-read after every change); valid until the next change. */
const struct luks_info *luks_info(const struct luks *l);

/* Bytes of the header as they should be on disk, luks_len() of them: a read-only view of the memfd. */
const unsigned char *luks_bytes(const struct luks *l);

/* Of the header with its keyslots and the rest of its place, in bytes. */
size_t luks_len(const struct luks *l);

/*
 * Writes [from, to) of the header to the same place behind offset in the new file or zeroed device fd. What
 * nothing was ever written to, most of a header, is left out: it is zeros there already.
 */
int luks_write_used(const struct luks *l, size_t from, size_t to, int fd, uint64_t offset, const char *path,
		    struct error *e);

/*
 * Does passphrase open a keyslot (slot ≥ 0: that one)? The slot and, if asked, the volume key.
 * ERROR_BAD_KEY when it opens none, or only an unbound one; a cipher this machine cannot do is ERROR_FAILED/ENOTSUP,
 * never "wrong key".
 */
int luks_unlock(struct luks *l, int slot, const struct secret *passphrase, int *ret_slot,
		struct secret **ret_volume_key, struct error *e);

/* New keyslot; volume_key as luks_unlock() gave it. slot -1: first free. Re-reads on error too. */
int luks_add_keyslot(struct luks *l, int slot, const struct secret *volume_key,
		     const struct secret *passphrase, enum luks_kdf_cost cost, int *ret_slot,
		     struct error *e);

/*
 * LUKS2: a keyslot for a volume key that is not (yet) the one of the data; and removing all such. The
 * passphrase of one must not be taken for one that opens the volume. Those of another length than the volume
 * key's are a person's, and stay.
 */
int luks_add_unbound(struct luks *l, const struct secret *volume_key, const struct secret *passphrase, int *ret_slot,
		     struct error *e);
int luks_remove_unbound(struct luks *l, struct error *e);

/*
 * Flags that every later activation takes from a LUKS2 header, ours or cryptsetup's: a set of
 * libcryptsetup's CRYPT_ACTIVATE_…, see lib/image/mapping.h for who sets them. Replaces all.
 */
int luks_set_flags(struct luks *l, uint32_t flags, struct error *e);

/* A path of the header copy that lasts as long as l. */
void luks_path(const struct luks *l, char *buf, size_t len);

/*
 * *l was made for a place where a damaged LUKS1 header was (old, len bytes): it becomes the same header with the
 * keyslots of that one that can still be read, which take the places of its own. *ret_kept: how many; 0: *l is as
 * before. LUKS2 headers are whole or not.
 */
int luks1_keep(struct luks **l, const unsigned char *old, size_t len, int *ret_kept, struct error *e);

/* Disables the slot and overwrites its key material (in the memfd). The last one is ERROR_REFUSED. */
int luks_remove_keyslot(struct luks *l, int slot, struct error *e);

#endif
