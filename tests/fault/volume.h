/*
 * Reads a LUKS volume without the program that is tested: header by libcryptsetup, data by OpenSSL,
 * qcow2 by its specification.
 */
#ifndef TESTS_FAULT_VOLUME_H
#define TESTS_FAULT_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_SAMPLE (1u << 20)	/* of the guest's data, from its beginning */
#define VOLUME_KEY_MAX 64

struct passphrase {
	const char *name;	/* "ours", "old", … */
	char text[256];
};

struct volume_look {
	char slots[256];	/* the names of what opens each active keyslot, sorted; "unknown" */
	bool ours;		/* the first passphrase opens it */
	uint64_t size;		/* that the guest sees */
	unsigned char key[VOLUME_KEY_MAX];
	size_t key_len;		/* 0: nothing opens it */
	unsigned char *data;	/* VOLUME_SAMPLE bytes as the guest reads them */
};

/* Has the file a header? */
bool volume_is_one(const char *path);

/* header: the file that has it; data: the one with the data, the same unless detached. NULL or what is wrong. */
const char *volume_read(const char *header, const char *data, const struct passphrase *known, size_t n_known,
			struct volume_look *ret);

#endif
