/* The volumes that a command on many is given: operands, or --all. */
#ifndef CMD_VOLUMES_H
#define CMD_VOLUMES_H

#include "cmd/command.h"
#include "keystore/keystore.h"

/*
 * UUIDs of the named volumes, each once, or with all of those for which wanted() holds (NULL: all). Exactly one
 * of the two must be given (ERROR_USAGE). The caller frees. *ret_domains: a domain has one of them.
 */
int volumes_chosen(const struct context *ctx, struct keystore *ks, bool all, char **operands, size_t n,
		   bool (*wanted)(const struct record *r), uuid_t **ret, size_t *ret_n, bool *ret_domains,
		   struct error *e);

#endif
