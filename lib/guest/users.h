/* Who has an image: every domain, in every place where libvirt keeps what its disks are. */
#ifndef LIB_GUEST_USERS_H
#define LIB_GUEST_USERS_H

#include "lib/guest/image.h"

enum guest_place {
	GUEST_LIVE = 1,		/* the running guest */
	GUEST_CONFIG = 2,	/* the persistent configuration */
	GUEST_SAVED = 4,	/* the managed save, which starts with disks of its own */
	GUEST_SNAPSHOT = 8,	/* the metadata of a snapshot */
};
#define GUEST_EVERYWHERE (GUEST_LIVE | GUEST_CONFIG | GUEST_SAVED | GUEST_SNAPSHOT)

struct guest_user {
	enum guest_place place;	/* 0: nobody */
	char domain[256];
	uuid_t uuid;
	char snapshot[128];
	struct guest_use use;
};

/* The first of these places in which the domain has the image. */
int guest_user_of(virDomainPtr d, const struct guest_image *image, unsigned places, struct guest_user *ret,
		  struct error *e);

/* Any domain but `except` (or NULL). One that goes away while we look is no user; one that cannot be asked may be. */
int guest_user_any(const struct guest_image *image, virDomainPtr except, unsigned places, struct guest_user *ret,
		   struct error *e);

/* "domain vm", "the saved state of domain vm", "snapshot s1 of domain vm" */
void guest_user_text(const struct guest_user *u, char *buf, size_t len);

#endif
