/* What commands on volumes share: the environment of a workflow, and libvirt. */
#ifndef CMD_ENVIRONMENT_H
#define CMD_ENVIRONMENT_H

#include "cmd/command.h"
#include "lib/guest/connection.h"
#include "lib/volume/volume.h"

/* Notes of the workflow go to stderr, progress as --progress says. */
struct volume_env environment(struct context *ctx, struct keystore *ks);

/* guest_connect() to the daemon that is meant; a person hears of it if it takes its time, then and later. */
int environment_connect(const struct context *ctx, struct guest_connection **ret, struct error *e);

/* volume_find(), and POOL/VOLUME as libvirt's storage pools have it. */
int environment_find(const struct context *ctx, struct keystore *ks, const char *text, struct record **ret,
		     struct error *e);

/*
 * libvirt for a command that can do without: NULL and *ret_why when it cannot be reached. With
 * --connect given a failure is an error all the same.
 */
int environment_try_connect(const struct context *ctx, struct guest_connection **ret,
			    struct error *ret_why, struct error *e);

/*
 * libvirt for a command on one volume: must be reached when the record names a domain, unless
 * without (--no-libvirt), and is asked otherwise if it is there.
 */
int environment_connect_for(const struct context *ctx, const struct record *r, bool without,
			    struct guest_connection **ret, struct error *e);

/*
 * operands[1] as a size; hints at the right order where operands[0] is one instead. With ret_more it may begin with +,
 * which is told there.
 */
int environment_size(const char *command, char **operands, uint64_t *ret, bool *ret_more, struct error *e);

/*
 * What attach and detach begin with: an unsealed keystore, the volume that operands[1] names behind a
 * domain, and libvirt. Hints at the right order where operands[0] is a volume instead.
 */
int environment_attach(struct context *ctx, const char *command, char **operands, struct keystore **ret_ks,
		       struct record **ret_record, struct guest_connection **ret_guest, struct error *e);

#endif
