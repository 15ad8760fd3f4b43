/*
 * systemd's token plug-ins of libcryptsetup (libcryptsetup-token-systemd-tpm2.so and so on), which
 * know how a device gives a keyslot's passphrase back.
 *
 * libcryptsetup 2.6 calls a plug-in twice for each unlocking, which means two touches of a FIDO2
 * key, and has no time limit; so the plug-in is called directly (cryptsetup_token_open_pin, see
 * libcryptsetup.h), in a child process that can be ended and whose memory goes with it.
 */
#ifndef KEYSTORE_SEAL_PLUGIN_H
#define KEYSTORE_SEAL_PLUGIN_H

#include "base/error.h"
#include "base/secret.h"

#include <libcryptsetup.h>

struct token_plugin {
	const char *type;		/* "systemd-tpm2" */
	int token;			/* its number in the LUKS2 header */
	const struct secret *pin;	/* or NULL */
	void *params;			/* what this plug-in wants as user pointer */
	unsigned seconds;		/* then the child is ended */
};

/* What a plug-in and its libraries wrote: the last line, fit for a person, and all of it, or its end. */
struct token_words {
	char last[512], all[2048];
};

/*
 * 0 with the passphrase of the keyslot. Else the plug-in's negative errno as it is, and in said its
 * words (or ""): what they mean depends on the device. -ETIMEDOUT, -ENOSYS (no such plug-in).
 */
int token_plugin_open(struct crypt_device *cd, const struct token_plugin *p, struct secret **ret,
		      struct token_words *said);

#endif
