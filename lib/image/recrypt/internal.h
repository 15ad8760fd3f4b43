/* The two halves of recrypt.h: what is done to a chunk, and who does which when. */
#ifndef LIB_IMAGE_RECRYPT_INTERNAL_H
#define LIB_IMAGE_RECRYPT_INTERNAL_H

#include "lib/image/recrypt/recrypt.h"

#include <openssl/evp.h>

/* What a thread takes at a time, and what is told to the disk in one go. */
#define RECRYPT_CHUNK (4u << 20)
#define RECRYPT_TAG_LEN 16u

/* What one thread works with. */
struct recrypt_worker {
	const struct recrypt *r;
	EVP_CIPHER_CTX *decrypt, *encrypt, *mac;
	unsigned char *buf, *other;
	uint64_t kept;		/* bytes that an earlier run had written */
};

/* mac_key of 16 random bytes is the same for all workers of a run. */
int recrypt_worker_begin(struct recrypt_worker *w, const unsigned char *mac_key, struct error *e);
void recrypt_worker_end(struct recrypt_worker *w);

/*
 * What was written of a chunk. The stretches are kept, because asked a second time a file system may
 * find others: preallocated space is data to it while somebody's pages of it are in memory.
 */
struct recrypt_stretch {
	uint32_t at, len;	/* from the chunk's start */
};
struct recrypt_chunk {
	struct recrypt_stretch *stretches;
	uint32_t n;
	unsigned char tag[RECRYPT_TAG_LEN];	/* GMAC of them all */
};
void recrypt_chunk_clear(struct recrypt_chunk *c);

/* Copies chunk n and fills *c, which is empty. */
int recrypt_copy_chunk(struct recrypt_worker *w, uint64_t n, struct recrypt_chunk *c, struct error *e);

/* Reads chunk n of the copy back. ERROR_FAILED/EIO if it is not what *c says. */
int recrypt_verify_chunk(struct recrypt_worker *w, uint64_t n, const struct recrypt_chunk *c, struct error *e);

#endif
