/*
 * A file or device that holds an encrypted disk: finds its LUKS header, lets it be changed in
 * memory, writes it back in an order in which a power cut leaves the old or the new state.
 */
#ifndef LIB_IMAGE_CONTAINER_H
#define LIB_IMAGE_CONTAINER_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "lib/image/luks/luks.h"
#include "lib/image/qcow2/qcow2.h"

#include <stdbool.h>
#include <stdint.h>

enum image_format {
	IMAGE_FORMAT_AUTO = 0,	/* by magic: qcow2 or LUKS; anything else is an error where LUKS is needed */
	IMAGE_FORMAT_RAW = 1,
	IMAGE_FORMAT_QCOW2 = 2,
};
const char *image_format_name(enum image_format f);

enum container_mode {
	CONTAINER_LOOK,		/* read-only descriptor; no lock; never writes a byte */
	CONTAINER_CHANGE,	/* read-write, under QEMU's image locks: ERROR_BUSY if QEMU or another
				   kvmcrypt has it */
};

struct container_info {
	enum image_format format;
	uint64_t size;			/* bytes the guest sees */
	uint64_t file_size;		/* bytes of the container */
	uint64_t header_offset, header_length;	/* region of the LUKS header in the container */
	struct qcow2_header qcow2;	/* if format is qcow2 */
};

struct container;

/*
 * ERROR_NOT_FOUND, ERROR_DAMAGED (see qcow2_read(), luks_load()), ERROR_BUSY. An image without
 * LUKS is ERROR_USAGE/EMEDIUMTYPE ("is not encrypted with LUKS").
 */
int container_open(const char *path, enum image_format format, enum container_mode mode,
		   struct container **ret, struct error *e);
/* To look at what a descriptor (borrowed) has; path is for messages. */
int container_look(int fd, const char *path, enum image_format format, struct container **ret, struct error *e);
void container_free(struct container *c);	/* drops the locks; unwritten changes are lost */
static inline void container_freep(struct container **c)
{
	container_free(*c);
}
#define AUTOCONTAINER CLEANUP(container_freep)

const struct container_info *container_info(const struct container *c);
struct luks *container_luks(struct container *c);	/* borrowed */
int container_fd(const struct container *c);	/* borrowed; of the file that is locked, whatever its name is by now */

/*
 * Writes what changed in the LUKS header: key material first, sync, then the phdr page, sync; for
 * a slot that goes away the phdr first and the key material after it. Reads back and compares.
 * ERROR_BUSY if the header on disk is no longer the one that was read; after a failed write it may
 * be called again. One slot's number is not reused between two write-backs (ERROR_FAILED/EINVAL).
 */
int container_write_back(struct container *c, struct error *e);

/* luks_add_keyslot() in the first free place, and luks_remove_keyslot(), with what changed written back. */
int container_add_keyslot(struct container *c, const struct secret *volume_key, const struct secret *passphrase,
			  enum luks_kdf_cost cost, struct error *e);
int container_remove_keyslot(struct container *c, int slot, struct error *e);

/*
 * Crypto-erase: overwrites every keyslot's key material, syncs, then the header, syncs, and reads
 * back. After it no passphrase opens the data, ours or another's; interrupted, it can be repeated
 * until the header is gone too (then container_open() finds no LUKS). Nothing else is done with c.
 */
int container_erase(struct container *c, struct error *e);

/* image_remove() of the container's file; for a container opened to be changed. */
int container_remove(struct container *c, struct error *e);

/*
 * What a backing file (plain or encrypted) is, without following it further: format by magic,
 * virtual size, LUKS or not, its own backing name. A file with neither magic is raw of its length.
 */
struct image_look {
	enum image_format format;
	bool encrypted;		/* LUKS in raw or qcow2 */
	int luks_version;	/* 0 if not encrypted */
	const char *not_for_qemu;	/* what of its LUKS header QEMU does not know, or NULL */
	uuid_t luks_uuid;
	uint64_t size;		/* virtual */
	char backing[1024];
	char backing_format[16];
};
int image_look(const char *path, struct image_look *ret, struct error *e);

/*
 * Where the format is known: "qcow2", "luks" or "raw"; NULL is image_look(). Raw is taken
 * at its word, whatever a guest wrote into it; the others must match (ERROR_DAMAGED).
 */
int image_look_as(const char *path, const char *declared, struct image_look *ret, struct error *e);

#endif
