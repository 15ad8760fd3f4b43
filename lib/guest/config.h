/* Domains as libvirt keeps them on disk, for when no daemon runs that could be asked. */
#ifndef LIB_GUEST_CONFIG_H
#define LIB_GUEST_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <uuid/uuid.h>

/* What the disks of all domains need: UUIDs of secrets, and of volumes that are mapped (kvmcrypt-UUID). */
struct guest_config {
	uuid_t *uuids;	/* both kinds, sorted: they do not collide */
	size_t n;
};

/* Reads *.xml in libvirt's directory of configurations. None, or one that is no domain, is fine. */
int guest_config_read(const char *dir, struct guest_config *ret, struct error *e);
void guest_config_clear(struct guest_config *c);

/* What each domain of the directory needs by itself, with the domain's name; a non-zero result of fn stops. */
int guest_config_each(const char *dir,
		      int (*fn)(void *ctx, const char *name, const struct guest_config *config, struct error *e),
		      void *ctx, struct error *e);

bool guest_config_names(const struct guest_config *c, const uuid_t secret);
/* mapping: "kvmcrypt-UUID" */
bool guest_config_names_mapping(const struct guest_config *c, const char *mapping);

/* Adds what one domain's XML needs, sorted by guest_config_sort(). */
int guest_config_add(struct guest_config *c, const char *xml, struct error *e);
void guest_config_sort(struct guest_config *c);

#endif
