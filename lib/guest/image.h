/*
 * One image as the disks of a domain may name it: by any path that leads to it, as a volume of a pool,
 * or by the secret that opens it.
 */
#ifndef LIB_GUEST_IMAGE_H
#define LIB_GUEST_IMAGE_H

#include "lib/guest/connection.h"

#include <libxml/tree.h>
#include <sys/types.h>
#include <uuid/uuid.h>

#define GUEST_IMAGE_NAMES 4

struct guest_image {
	struct guest_connection *g;	/* borrowed: resolves pools, and says whether paths are this host's */
	struct guest_image_name {
		char *path;
		bool decrypted;	/* the block device that the kernel makes of it, not the image itself */
		bool there;	/* and this is what it was when it was asked: */
		dev_t dev;	/* of a block device its own number, with inode 0 */
		ino_t ino;
	} names[GUEST_IMAGE_NAMES];
	size_t n;
	uuid_t volume, secret;
};

/* g may be NULL, if nothing is to be found by the name of a pool. */
void guest_image_begin(struct guest_image *image, struct guest_connection *g, const uuid_t volume);
void guest_image_clear(struct guest_image *image);
#define AUTOGUESTIMAGE CLEANUP(guest_image_clear)

/* One more name of it; nothing there yet, or any more, is fine. */
int guest_image_add(struct guest_image *image, const char *path, bool decrypted, struct error *e);

/* What the disks in one XML have to do with the image. */
struct guest_use {
	bool found;		/* a disk has it on top */
	bool below; /* none has, but it is below the image `top` in a disk's chain, or a copy onto it runs */
	bool decrypted;		/* by the kernel's block device */
	bool encrypted;		/* with <encryption> */
	bool our_secret;	/* by the volume's secret, named by UUID or usage */
	char target[32];
	char bus[16];
	char top[256];
};

/*
 * Looks through all disks in a domain's, saved state's or snapshot's XML (NULL: nothing found). ERROR_LIBVIRT: a pool
 * that nobody can resolve, which may be where the image lies.
 */
int guest_image_find(const struct guest_image *image, const char *xml, struct guest_use *ret, struct error *e);

/* How one <source> means the image: by a name that leads to it, by its decrypted device, by its secret alone. */
enum guest_match {
	GUEST_MATCH_NONE,
	GUEST_MATCH_NAME,
	GUEST_MATCH_DEVICE,
	GUEST_MATCH_SECRET,
};
/* encryption: what goes with the source, or NULL. ERROR_LIBVIRT as guest_image_find(). */
struct _xmlNode;
int guest_image_match(const struct guest_image *image, struct _xmlNode *source, struct _xmlNode *encryption,
		      enum guest_match *ret, struct error *e);

/*
 * The path of a volume in a pool, as libvirt has it, or would have it after a refresh. The caller frees.
 * ERROR_LIBVIRT: nobody can tell, with ENOENT for want of a pool of this name.
 */
int guest_pool_path(struct guest_connection *g, const char *pool, const char *volume, char **ret, struct error *e);

#endif
