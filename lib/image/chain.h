/* The backing chain of an image, for the <backingStore> elements of a guest's configuration. */
#ifndef LIB_IMAGE_CHAIN_H
#define LIB_IMAGE_CHAIN_H

#include "base/cleanup.h"
#include "base/error.h"
#include "lib/image/container.h"

#include <stddef.h>

#define CHAIN_MAX 64

struct chain_element {
	char *path;		/* the image's as given; a backing file's as QEMU would open it */
	enum image_format format;
	bool encrypted;		/* LUKS in raw or qcow2 */
	int luks_version;
	const char *not_for_qemu;	/* what of its LUKS header QEMU does not know, or NULL */
	uuid_t luks_uuid;
	uint64_t size;		/* virtual, bytes */
};

struct chain {
	size_t n;			/* 1: no backing file */
	struct chain_element elements[];	/* [0] is the image itself */
};

/*
 * Walks from path down to the image without a backing file. A relative name counts from the
 * directory of the file that has it, as in QEMU. Nothing is opened for writing.
 *
 * ERROR_NOT_FOUND for a missing file; ERROR_DAMAGED for a loop, more than CHAIN_MAX images, a name
 * that is no plain path, or a file that is not of the format it is said to have; ERROR_REFUSED
 * where the format of a backing file is not said: a guest could choose it by what it writes.
 * format: of path itself, IMAGE_FORMAT_AUTO by magic.
 */
int chain_walk(const char *path, enum image_format format, struct chain **ret, struct error *e);
void chain_free(struct chain *c);
static inline void chain_freep(struct chain **c)
{
	chain_free(*c);
}
#define AUTOCHAIN CLEANUP(chain_freep)

#endif
