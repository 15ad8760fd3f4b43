/*
 * While libcryptsetup re-encrypts below a mapping, NAME is a linear mapping on NAME-overlay, which
 * has the dm-crypt tables, and NAME-hotzone-forward stands before the part that is being written.
 */
#ifndef LIB_IMAGE_MAPPING_STACK_H
#define LIB_IMAGE_MAPPING_STACK_H

#include "lib/image/mapping/mapping.h"

/* The device below a dm-crypt mapping, as a path in /dev. */
int mapping_data_device(const char *name, char *buf, size_t len, struct error *e);

/* Does the mapping have the table of a re-encryption under way (or interrupted)? */
bool mapping_is_stacked(const char *name);

/* Removes mapping and helpers. ERROR_BUSY when the mapping is in use; nothing was done then. */
int mapping_remove_stack(const char *name, struct error *e);

/* Removes the helpers alone, which are left over when the mapping does not use them any more. */
int mapping_remove_helpers(const char *name, struct error *e);

/* Removes the helpers of a volume whose mapping is gone. */
int mapping_remove_orphans(const uuid_t luks_uuid, struct error *e);

#endif
