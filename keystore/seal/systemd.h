/* Slots of a device for which systemd-cryptenroll makes the slot, and its plug-in opens it. */
#ifndef KEYSTORE_SEAL_SYSTEMD_H
#define KEYSTORE_SEAL_SYSTEMD_H

#include "keystore/seal/kind.h"
#include "keystore/seal/plugin.h"

#define SYSTEMD_ARGUMENTS_MAX 12

struct systemd_arguments {
	const char *argv[SYSTEMD_ARGUMENTS_MAX + 1];
	size_t n;
	char *made[SYSTEMD_ARGUMENTS_MAX];
	bool no_memory;
};
/* "NAME=VALUE"; nothing for a NULL value. */
void systemd_argument(struct systemd_arguments *a, const char *name, const char *value);

struct systemd_device {
	const char *token;	/* type of the token that the plug-in reads: "systemd-tpm2" */
	unsigned seconds;	/* then a child is ended */
	bool always_asks;	/* systemd-cryptenroll wants a PIN on its terminal, whatever the slot wants */
	void (*describe)(const struct slot_params *p, struct systemd_arguments *a);
	/* The rest may be NULL. */
	void (*after)(const char *device);	/* each use */
	bool (*again)(const struct token_words *said);	/* is it worth another try after that? */
	/* Fills *e and is negative where the plug-in's errno and words mean something of this device's own; else 0. */
	int (*explain)(const struct slot *slot, int r, const struct token_words *said, struct error *e);
};

int systemd_enrol(const struct systemd_device *d, struct seal *s, const struct secret *root, const struct credential *c,
		  int *ret_slot, struct error *e);
/* params: what the plug-in wants as user pointer, or NULL. pin may be NULL. */
int systemd_open(const struct systemd_device *d, const struct seal *s, const struct slot *slot,
		 const struct secret *pin, void *params, struct secret **ret, struct error *e);
bool systemd_said(const char *said, const char *word);

static inline const char *text_or(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

#endif
