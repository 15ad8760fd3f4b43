/*
 * Re-encryption of a LUKS2 volume where it is, by libcryptsetup: a volume key that the header already
 * has in an unbound keyslot takes the place of the one in force. Resumable; what is to be resumed is
 * looked at first, because metadata of this kind can be forged (CVE-2021-4122), and because
 * libcryptsetup 2.6 may encrypt everything twice.
 */
#ifndef LIB_IMAGE_RECRYPT_INPLACE_H
#define LIB_IMAGE_RECRYPT_INPLACE_H

#include "base/error.h"
#include "base/progress.h"
#include "base/secret.h"

#include <stddef.h>
#include <stdint.h>

enum inplace_stage {
	INPLACE_NONE,		/* a header like any other */
	INPLACE_UNDER_WAY,
	INPLACE_ALL_DATA,	/* all data has the new key, and the header does not say so yet: never resume */
};

/* What has to be true of a re-encryption that is ours. */
struct inplace_expected {
	const char *cipher;
	unsigned sector_size;
	uint64_t data_offset;
	const struct secret *volume_key, *next_volume_key;
};

/*
 * How far the re-encryption in this header is; reads and writes nothing. ERROR_DAMAGED when it is
 * not the expected one: other keys, a segment that is not encrypted, anything unknown.
 */
int inplace_look(const char *header_path, const struct inplace_expected *x, enum inplace_stage *ret, struct error *e);

/* The pure check of the JSON of such a header. */
int inplace_check_json(const char *text, size_t len, const struct inplace_expected *x, enum inplace_stage *ret,
		       struct error *e);

struct inplace {
	const char *data_path;	/* a file or block device, not mapped; or the device below the mapping */
	const char *header_path;	/* detached, or NULL */
	const char *name;	/* the mapping, which may be in use; or NULL */
	const char *cipher;
	unsigned sector_size;
	const struct secret *passphrase;	/* of both volume keys */
	const struct progress *progress;
};

/*
 * Begins and runs to the end. keyslot_old, keyslot_new: which the passphrase opens, the second
 * unbound. ERROR_FAILED/ECANCELED when progress says so: the volume can be used, and this resumed.
 */
int inplace_begin(const struct inplace *p, int keyslot_old, int keyslot_new, struct error *e);

/*
 * Goes on after inplace_look() found it UNDER_WAY. The one that was interrupted in the middle of a
 * write is brought to a safe point only, *ret_again: look again.
 */
int inplace_resume(const struct inplace *p, bool *ret_again, struct error *e);

#endif
