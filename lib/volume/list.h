/* Volumes chosen for something that is done with each of them. */
#ifndef LIB_VOLUME_LIST_H
#define LIB_VOLUME_LIST_H

#include "keystore/keystore.h"

struct volume_list {
	uuid_t *uuids;
	size_t n;
	bool domains;		/* a domain is known to have one of them */
	struct error damaged;	/* the first record that could not be read, which keeps the others from nothing */
};
void volume_list_clear(struct volume_list *l);
#define AUTOVOLUMES CLEANUP(volume_list_clear)

/* One that is there already is not added twice. */
int volume_list_add(struct volume_list *l, const struct record *r, struct error *e);

/* Every volume of the keystore that is wanted (NULL: all). ctx is wanted's. */
int volume_list_all(struct keystore *ks, bool (*wanted)(void *ctx, const struct record *r), void *ctx,
		    struct volume_list *ret, struct error *e);

#endif
