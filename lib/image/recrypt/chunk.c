/* Re-encrypting one stretch of an image after the other. */
#include "lib/image/recrypt/internal.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/library/library.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Between reading and writing, it stays in the processor's cache. */
#define BLOCK (256u << 10)
#define IV_SECTOR 512u

static const EVP_CIPHER *xts(const struct secret *key)
{
	return key->len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
}

int recrypt_worker_begin(struct recrypt_worker *w, const unsigned char *mac_key, struct error *e)
{
	const struct recrypt *r = w->r;
	int loaded = openssl_load(e);
	if (loaded < 0)
		return loaded;
	w->decrypt = EVP_CIPHER_CTX_new();
	w->encrypt = EVP_CIPHER_CTX_new();
	w->mac = EVP_CIPHER_CTX_new();
	w->buf = aligned_alloc(4096, BLOCK);
	w->other = aligned_alloc(4096, BLOCK);
	if (!w->decrypt || !w->encrypt || !w->mac || !w->buf || !w->other)
		return error_oom(e);
	if (EVP_DecryptInit_ex(w->decrypt, xts(r->from.key), NULL, r->from.key->data, NULL) != 1 ||
	    EVP_EncryptInit_ex(w->encrypt, xts(r->to.key), NULL, r->to.key->data, NULL) != 1 ||
	    EVP_EncryptInit_ex(w->mac, EVP_aes_128_gcm(), NULL, mac_key, NULL) != 1)
		return error_set(e, ERROR_FAILED, EIO, "OpenSSL does not take the key");
	return 0;
}

void recrypt_worker_end(struct recrypt_worker *w)
{
	EVP_CIPHER_CTX_free(w->decrypt);
	EVP_CIPHER_CTX_free(w->encrypt);
	EVP_CIPHER_CTX_free(w->mac);
	free(w->buf);
	free(w->other);
}

/* ---- the ciphers ---- */

/* dm-crypt's plain64: the number of the 512-byte sector, little endian, whatever the sector size. */
static bool crypt_sectors(EVP_CIPHER_CTX *ctx, unsigned char *p, size_t len, uint64_t sector, unsigned sector_size)
{
	for (size_t at = 0; at < len; at += sector_size, sector += sector_size / IV_SECTOR) {
		unsigned char iv[16] = { 0 };
		int n;
		for (int i = 0; i < 8; i++)
			iv[i] = (unsigned char)(sector >> 8 * i);
		if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, -1) != 1 ||
		    EVP_CipherUpdate(ctx, p + at, &n, p + at, (int)sector_size) != 1)
			return false;
	}
	return true;
}

static int recrypt_range(const struct recrypt_worker *w, unsigned char *p, size_t len, uint64_t sector, struct error *e)
{
	unsigned size = w->r->sector_size;
	if (!crypt_sectors(w->decrypt, p, len, sector, size) || !crypt_sectors(w->encrypt, p, len, sector, size))
		return error_set(e, ERROR_FAILED, EIO, "OpenSSL cannot encrypt");
	return 0;
}

/* [at, at + len) of the file in p becomes what the copy has there; len does not cross the header. */
static int transform(const struct recrypt_worker *w, unsigned char *p, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	if (!r->map)
		return recrypt_range(w, p, len, (at - r->data_offset) / IV_SECTOR, e);
	uint64_t cluster = UINT64_C(1) << r->map->cluster_bits;
	int res = 0;
	for (size_t done = 0, n; done < len && res == 0; done += n) {
		n = (size_t)(cluster - (at + done) % cluster);
		if (n > len - done)
			n = len - done;
		if (qcow2_map_is_data(r->map, at + done))
			res = recrypt_range(w, p + done, n, (at + done) / IV_SECTOR, e);
	}
	return res;
}

static int mac_begin(struct recrypt_worker *w, uint64_t n, struct error *e)
{
	unsigned char iv[12] = { 0 };
	memcpy(iv, &n, sizeof(n));
	if (EVP_EncryptInit_ex(w->mac, NULL, NULL, NULL, iv) != 1)
		return error_set(e, ERROR_FAILED, EIO, "OpenSSL cannot authenticate");
	return 0;
}

static int mac_add(struct recrypt_worker *w, const unsigned char *p, size_t len, struct error *e)
{
	int n;
	if (EVP_EncryptUpdate(w->mac, NULL, &n, p, (int)len) != 1)
		return error_set(e, ERROR_FAILED, EIO, "OpenSSL cannot authenticate");
	return 0;
}

static int mac_end(struct recrypt_worker *w, unsigned char *ret, struct error *e)
{
	unsigned char none[16];
	int n;
	if (EVP_EncryptFinal_ex(w->mac, none, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(w->mac, EVP_CTRL_AEAD_GET_TAG, RECRYPT_TAG_LEN, ret) != 1)
		return error_set(e, ERROR_FAILED, EIO, "OpenSSL cannot authenticate");
	return 0;
}

/* ---- extents ---- */

/* 1: an earlier run has written the same there. */
static int is_there(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	uint64_t there, ignored;
	if (r->fresh)
		return 0;
	int res = file_next_data(r->to.fd, at, at + len, &there, &ignored, r->to.path, e);
	if (res < 0 || there == at + len)
		return res;
	res = file_pread(r->to.fd, w->other, len, at, r->to.path, e);
	return res < 0 ? res : !memcmp(w->other, w->buf, len);
}

static int copy(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	int res = file_pread(r->from.fd, w->buf, len, at, r->from.path, e);
	if (res == 0)
		res = transform(w, w->buf, at, len, e);
	if (res == 0)
		res = mac_add(w, w->buf, len, e);
	if (res == 0)
		res = is_there(w, at, len, e);
	if (res < 0)
		return res;
	if (res == 1) {
		w->kept += len;
		return 0;
	}
	return file_pwrite(r->to.fd, w->buf, len, at, r->to.path, e);
}

static int reread(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	int res = file_pread(r->to.fd, w->buf, len, at, r->to.path, e);
	return res < 0 ? res : mac_add(w, w->buf, len, e);
}

typedef int (*block_function)(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e);

static int each_block(struct recrypt_worker *w, block_function f, uint64_t at, uint64_t end, struct error *e)
{
	int res = 0;
	for (uint64_t n; at < end && res == 0; at += n) {
		n = end - at < BLOCK ? end - at : BLOCK;
		res = f(w, at, (size_t)n, e);
	}
	return res;
}

/* ---- chunks ---- */

void recrypt_chunk_clear(struct recrypt_chunk *c)
{
	free(c->stretches);
	c->stretches = NULL;
}

static int note(struct recrypt_chunk *c, uint64_t at, uint64_t len, struct error *e)
{
	if (!list_grow(c->stretches, c->n))
		return error_oom(e);
	c->stretches[c->n++] = (struct recrypt_stretch){ (uint32_t)at, (uint32_t)len };
	return 0;
}

static uint64_t skip_end(const struct recrypt *r)
{
	return r->map ? r->header_offset + r->header_length : r->data_offset;
}

/* The stretches of [begin, end), without the LUKS header and what lies before the data of a raw file. */
static int find_stretches(const struct recrypt *r, uint64_t begin, uint64_t end, struct recrypt_chunk *c,
			  struct error *e)
{
	uint64_t at = begin, skip_from = r->header_offset, skip_to = skip_end(r);
	while (at < end) {
		uint64_t start, stop;
		int res = file_next_data(r->from.fd, at, end, &start, &stop, r->from.path, e);
		if (res < 0)
			return res;
		/* Whole sectors: a file system's blocks may be smaller than ours. */
		start -= (start - r->data_offset) % r->sector_size;
		if (start < at)
			start = at;
		if ((stop - r->data_offset) % r->sector_size && stop < end)
			stop += r->sector_size - (stop - r->data_offset) % r->sector_size;
		stop = stop < end ? stop : end;
		at = stop > at ? stop : end;
		if (start < skip_from && stop > skip_from) {
			at = stop = skip_from;
		} else if (start >= skip_from && start < skip_to) {
			start = skip_to;
			at = at > skip_to ? at : skip_to;
		}
		if (start >= stop || start >= end)
			continue;
		if ((res = note(c, start - begin, stop - start, e)) < 0)
			return res;
	}
	return 0;
}

static int each_stretch(struct recrypt_worker *w, block_function f, uint64_t n, const struct recrypt_chunk *c,
			unsigned char ret_tag[RECRYPT_TAG_LEN], struct error *e)
{
	uint64_t begin = n * RECRYPT_CHUNK;
	int res = mac_begin(w, n, e);
	for (uint32_t i = 0; i < c->n && res == 0; i++) {
		const struct recrypt_stretch *s = &c->stretches[i];
		res = each_block(w, f, begin + s->at, begin + s->at + s->len, e);
	}
	return res < 0 ? res : mac_end(w, ret_tag, e);
}

/* ---- holes ---- */

/* An earlier run may have written where the image has a hole by now. */
static int clear_block(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	int res = file_pread(r->to.fd, w->buf, len, at, r->to.path, e);
	if (res < 0 || bytes_are_zero(w->buf, len))
		return res;
	memset(w->buf, 0, len);
	return file_pwrite(r->to.fd, w->buf, len, at, r->to.path, e);
}

static int check_block(struct recrypt_worker *w, uint64_t at, size_t len, struct error *e)
{
	const struct recrypt *r = w->r;
	int res = file_pread(r->to.fd, w->buf, len, at, r->to.path, e);
	if (res == 0 && !bytes_are_zero(w->buf, len))
		return error_set(e, ERROR_FAILED, EIO, "%s has data at byte %llu, where the image has none", r->to.path,
				 (unsigned long long)at);
	return res;
}

static int hole(struct recrypt_worker *w, block_function f, uint64_t at, uint64_t end, struct error *e)
{
	int res = 0;
	for (uint64_t stop; at < end && res == 0; at = stop) {
		res = file_next_data(w->r->to.fd, at, end, &at, &stop, w->r->to.path, e);
		if (res == 0 && at < end)
			res = each_block(w, f, at, stop, e);
	}
	return res;
}

/* f for what is data in the copy between the stretches of [begin, end), but not in the header. */
static int each_hole(struct recrypt_worker *w, block_function f, uint64_t begin, uint64_t end,
		     const struct recrypt_chunk *c, struct error *e)
{
	uint64_t at = begin, skip_from = w->r->header_offset, skip_to = skip_end(w->r);
	int res = 0;
	for (uint32_t i = 0; i <= c->n && res == 0; i++) {
		uint64_t stop = i < c->n ? begin + c->stretches[i].at : end;
		if (at < skip_from)
			res = hole(w, f, at, stop < skip_from ? stop : skip_from, e);
		if (res == 0 && stop > skip_to)
			res = hole(w, f, at > skip_to ? at : skip_to, stop, e);
		at = i < c->n ? stop + c->stretches[i].len : end;
	}
	return res;
}

int recrypt_copy_chunk(struct recrypt_worker *w, uint64_t n, struct recrypt_chunk *c, struct error *e)
{
	uint64_t at = n * RECRYPT_CHUNK, end = at + RECRYPT_CHUNK < w->r->size ? at + RECRYPT_CHUNK : w->r->size;
	int res = find_stretches(w->r, at, end, c, e);
	if (res == 0)
		res = each_stretch(w, copy, n, c, c->tag, e);
	if (res == 0 && !w->r->fresh)
		res = each_hole(w, clear_block, at, end, c, e);
	/* Nobody needs the old data in memory any more: the copy takes its place there. */
	if (res == 0)
		posix_fadvise(w->r->from.fd, (off_t)at, (off_t)(end - at), POSIX_FADV_DONTNEED);
	return res;
}

int recrypt_verify_chunk(struct recrypt_worker *w, uint64_t n, const struct recrypt_chunk *c, struct error *e)
{
	unsigned char tag[RECRYPT_TAG_LEN];
	uint64_t at = n * RECRYPT_CHUNK, end = at + RECRYPT_CHUNK < w->r->size ? at + RECRYPT_CHUNK : w->r->size;
	int res = each_stretch(w, reread, n, c, tag, e);
	if (res == 0 && memcmp(tag, c->tag, sizeof(tag)) != 0)
		return error_set(e, ERROR_FAILED, EIO, "%s reads back differently at byte %llu", w->r->to.path,
				 (unsigned long long)at);
	return res < 0 ? res : each_hole(w, check_block, at, end, c, e);
}
