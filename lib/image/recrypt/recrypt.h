/*
 * Copying the data of an encrypted container under another volume key, byte for byte in the same
 * places: aes-xts-plain64, in raw LUKS counted from the data's start and in qcow2 from the file's
 * (QEMU docs/interop/qcow2.txt, "Data encryption").
 */
#ifndef LIB_IMAGE_RECRYPT_RECRYPT_H
#define LIB_IMAGE_RECRYPT_RECRYPT_H

#include "base/progress.h"
#include "base/secret.h"
#include "lib/image/qcow2/map.h"

struct recrypt_side {
	int fd;
	const char *path;
	const struct secret *key;	/* volume key */
};

struct recrypt {
	struct recrypt_side from, to;
	uint64_t size;			/* bytes of the file; raw: of whole sectors, as a rest is no data */
	unsigned sector_size;		/* 512 or 4096 */
	uint64_t header_offset, header_length;	/* where the LUKS header is: not copied */
	uint64_t data_offset;		/* raw: where the data begins, and counting starts */
	const struct qcow2_map *map;	/* qcow2, else NULL */
	bool fresh;			/* `to` is empty but for its header: no earlier run */
	const struct progress *progress;
};

/* Can this cipher and key be copied so? Else ERROR_FAILED/EOPNOTSUPP. */
int recrypt_check(const char *cipher, unsigned key_bits, struct error *e);

/*
 * Copies what is not a hole, on all processors; what an earlier, interrupted run wrote is compared
 * and kept. Then syncs, reads all of the copy back and compares it by GMAC with what was to be written;
 * where the image has a hole, the copy must have zeros. *ret_kept: bytes that were there already.
 * ERROR_FAILED/ECANCELED when progress says so.
 */
int recrypt_run(const struct recrypt *r, uint64_t *ret_kept, struct error *e);

/*
 * Has the copy the same plaintext? A sector of every cluster is compared, of a large disk some thousand evenly spread.
 * image and copy: for qcow2. ERROR_FAILED/EIO if not.
 */
int recrypt_sample(const struct recrypt *r, const struct qcow2_side *image, const struct qcow2_side *copy,
		   struct error *e);

#endif
