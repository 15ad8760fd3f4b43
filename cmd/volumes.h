/* The volumes that a command on many is given: operands, or --all. */
#ifndef CMD_VOLUMES_H
#define CMD_VOLUMES_H

#include "cmd/command.h"
#include "lib/volume/list.h"

/*
 * The named volumes, each once, or with all of those for which wanted() holds (NULL: all; its ctx is NULL). Exactly
 * one of the two must be given (ERROR_USAGE). The caller clears *ret.
 */
int volumes_chosen(const struct context *ctx, struct keystore *ks, bool all, char **operands, size_t n,
		   bool (*wanted)(void *ctx, const struct record *r), struct volume_list *ret, struct error *e);

#endif
