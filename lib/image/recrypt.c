#include "lib/image/recrypt.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (1u << 20)
#define JOBS_MAX 4u
#define DIGEST_LEN 32u
#define IV_SECTOR 512u

enum pass { PASS_COPY, PASS_VERIFY };

struct shared {
	const struct recrypt *r;
	enum pass pass;
	uint64_t n_chunks;
	unsigned char *digests;	/* of each chunk as it was to be written */
	pthread_mutex_t lock;
	uint64_t next, done, kept;
	int result;
	struct error error;
};

struct worker {
	struct shared *s;
	EVP_CIPHER_CTX *decrypt, *encrypt;
	EVP_MD_CTX *hash;
	unsigned char *buf, *other;
	uint64_t kept;
	struct error *e;
};

int recrypt_check(const char *cipher, unsigned key_bits, struct error *e)
{
	if (strcmp(cipher, "aes-xts-plain64") != 0 || (key_bits != 256 && key_bits != 512))
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "only aes-xts-plain64 volumes of 256 or 512 key bits can be copied under a new key, this is %s of %u",
				 cipher, key_bits);
	return 0;
}

static const EVP_CIPHER *xts(const struct secret *key)
{
	return key->len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
}

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

static int recrypt_range(const struct worker *w, unsigned char *p, size_t len, uint64_t sector)
{
	unsigned size = w->s->r->sector_size;
	if (!crypt_sectors(w->decrypt, p, len, sector, size) || !crypt_sectors(w->encrypt, p, len, sector, size))
		return error_set(w->e, ERROR_FAILED, EIO, "OpenSSL cannot encrypt");
	return 0;
}

/* [at, at + len) of the file in p becomes what the copy has there; len does not cross the header. */
static int transform(const struct worker *w, unsigned char *p, uint64_t at, size_t len)
{
	const struct recrypt *r = w->s->r;
	if (!r->map)
		return recrypt_range(w, p, len, (at - r->data_offset) / IV_SECTOR);
	uint64_t cluster = UINT64_C(1) << r->map->cluster_bits;
	int res = 0;
	for (size_t done = 0, n; done < len && res == 0; done += n) {
		n = (size_t)(cluster - (at + done) % cluster);
		if (n > len - done)
			n = len - done;
		if (qcow2_map_is_data(r->map, at + done))
			res = recrypt_range(w, p + done, n, (at + done) / IV_SECTOR);
	}
	return res;
}

/* ---- extents ---- */

/* The next stretch of data in [from, end) of fd; *ret_start == end: none. */
static int next_data(int fd, const char *path, uint64_t from, uint64_t end, uint64_t *ret_start, uint64_t *ret_end,
		     struct error *e)
{
	off_t start = lseek(fd, (off_t)from, SEEK_DATA);
	if (start < 0 && errno == ENXIO)
		start = (off_t)end;
	if (start < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot find the data of %s", path);
	off_t stop = (uint64_t)start < end ? lseek(fd, start, SEEK_HOLE) : (off_t)end;
	if (stop < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot find the holes of %s", path);
	*ret_start = (uint64_t)start < end ? (uint64_t)start : end;
	*ret_end = (uint64_t)stop < end ? (uint64_t)stop : end;
	return 0;
}

static int hash(const struct worker *w, const unsigned char *p, size_t len)
{
	if (EVP_DigestUpdate(w->hash, p, len) != 1)
		return error_set(w->e, ERROR_FAILED, EIO, "OpenSSL cannot hash");
	return 0;
}

/* One stretch of data: written, unless an earlier run has written the same. */
static int copy(struct worker *w, uint64_t at, size_t len)
{
	const struct recrypt *r = w->s->r;
	uint64_t there, ignored;
	int res = file_pread(r->from.fd, w->buf, len, at, r->from.path, w->e);
	if (res == 0)
		res = transform(w, w->buf, at, len);
	if (res == 0)
		res = hash(w, w->buf, len);
	if (res == 0)
		res = next_data(r->to.fd, r->to.path, at, at + len, &there, &ignored, w->e);
	if (res < 0)
		return res;
	if (there < at + len) {
		if ((res = file_pread(r->to.fd, w->other, len, at, r->to.path, w->e)) < 0)
			return res;
		if (!memcmp(w->other, w->buf, len)) {
			w->kept += len;
			return 0;
		}
	}
	if ((res = file_pwrite(r->to.fd, w->buf, len, at, r->to.path, w->e)) < 0)
		return res;
	/* Writing goes on while the next is computed, instead of all at the end. */
	sync_file_range(r->to.fd, (off_t)at, (off_t)len, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int reread(struct worker *w, uint64_t at, size_t len)
{
	const struct recrypt *r = w->s->r;
	int res = file_pread(r->to.fd, w->buf, len, at, r->to.path, w->e);
	return res < 0 ? res : hash(w, w->buf, len);
}

/* The stretches of [at, end), without the LUKS header and what lies before the data of a raw file. */
static int each_stretch(struct worker *w, uint64_t at, uint64_t end)
{
	const struct recrypt *r = w->s->r;
	uint64_t skip_from = r->header_offset, skip_to = r->map ? r->header_offset + r->header_length : r->data_offset;
	while (at < end) {
		uint64_t start, stop;
		int res = next_data(r->from.fd, r->from.path, at, end, &start, &stop, w->e);
		if (res < 0)
			return res;
		/* Whole sectors: a file system's blocks may be smaller than ours. */
		start -= (start - r->data_offset) % r->sector_size;
		if (start < at)
			start = at;
		if ((stop - r->data_offset) % r->sector_size && stop < end)
			stop += r->sector_size - (stop - r->data_offset) % r->sector_size;
		at = stop > at ? stop : end;
		if (start < skip_from && stop > skip_from) {
			at = stop = skip_from;
		} else if (start >= skip_from && start < skip_to) {
			start = skip_to;
			at = at > skip_to ? at : skip_to;
		}
		if (start >= stop || start >= end)
			continue;
		res = w->s->pass == PASS_COPY ? copy(w, start, (size_t)(stop - start))
					      : reread(w, start, (size_t)(stop - start));
		if (res < 0)
			return res;
	}
	return 0;
}

static int do_chunk(struct worker *w, uint64_t n)
{
	const struct recrypt *r = w->s->r;
	unsigned char digest[DIGEST_LEN], *want = w->s->digests + n * DIGEST_LEN;
	uint64_t at = n * CHUNK, end = at + CHUNK < r->size ? at + CHUNK : r->size;
	if (EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1)
		return error_set(w->e, ERROR_FAILED, EIO, "OpenSSL cannot hash");
	int res = each_stretch(w, at, end);
	if (res < 0)
		return res;
	if (EVP_DigestFinal_ex(w->hash, w->s->pass == PASS_COPY ? want : digest, NULL) != 1)
		return error_set(w->e, ERROR_FAILED, EIO, "OpenSSL cannot hash");
	if (w->s->pass == PASS_VERIFY && memcmp(digest, want, DIGEST_LEN) != 0)
		return error_set(w->e, ERROR_FAILED, EIO, "%s reads back differently at byte %llu", r->to.path,
				 (unsigned long long)at);
	return 0;
}

/* ---- the workers ---- */

static bool take(struct shared *s, uint64_t *ret)
{
	pthread_mutex_lock(&s->lock);
	bool more = s->next < s->n_chunks && s->result == 0;
	if (more)
		*ret = s->next++;
	pthread_mutex_unlock(&s->lock);
	return more;
}

static void finish_chunk(struct shared *s, struct worker *w, int res)
{
	pthread_mutex_lock(&s->lock);
	s->done++;
	uint64_t bytes = s->done * CHUNK < s->r->size ? s->done * CHUNK : s->r->size;
	if (res == 0 && progress_report(s->r->progress, s->pass == PASS_COPY ? "re-encrypting" : "verifying", bytes,
					s->r->size) != 0)
		res = error_set(w->e, ERROR_FAILED, ECANCELED, "stopped");
	if (res < 0 && s->result == 0) {
		s->result = res;
		s->error = *w->e;
	}
	pthread_mutex_unlock(&s->lock);
}

static int worker_begin(struct worker *w)
{
	const struct recrypt *r = w->s->r;
	w->decrypt = EVP_CIPHER_CTX_new();
	w->encrypt = EVP_CIPHER_CTX_new();
	w->hash = EVP_MD_CTX_new();
	w->buf = malloc(CHUNK);
	w->other = malloc(CHUNK);
	if (!w->decrypt || !w->encrypt || !w->hash || !w->buf || !w->other)
		return error_oom(w->e);
	if (EVP_DecryptInit_ex(w->decrypt, xts(r->from.key), NULL, r->from.key->data, NULL) != 1 ||
	    EVP_EncryptInit_ex(w->encrypt, xts(r->to.key), NULL, r->to.key->data, NULL) != 1)
		return error_set(w->e, ERROR_FAILED, EIO, "OpenSSL does not take the key");
	return 0;
}

static void *run_worker(void *ctx)
{
	struct error e = { 0 };
	struct worker w = { .s = ctx, .e = &e };
	uint64_t n;
	int res = worker_begin(&w);
	if (res < 0)
		finish_chunk(w.s, &w, res);
	while (res == 0 && take(w.s, &n)) {
		res = do_chunk(&w, n);
		finish_chunk(w.s, &w, res);
	}
	pthread_mutex_lock(&w.s->lock);
	w.s->kept += w.kept;
	pthread_mutex_unlock(&w.s->lock);
	EVP_CIPHER_CTX_free(w.decrypt);
	EVP_CIPHER_CTX_free(w.encrypt);
	EVP_MD_CTX_free(w.hash);
	free(w.buf);
	free(w.other);
	return NULL;
}

static int run_pass(struct shared *s, enum pass pass, struct error *e)
{
	pthread_t threads[JOBS_MAX];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t started = 0, want = processors > 1 ? (size_t)processors : 1;
	if (want > JOBS_MAX)
		want = JOBS_MAX;
	s->pass = pass;
	s->next = s->done = 0;
	while (started + 1 < want && pthread_create(&threads[started], NULL, run_worker, s) == 0)
		started++;
	run_worker(s);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (s->result < 0)
		*e = s->error;
	return s->result;
}

int recrypt_run(const struct recrypt *r, uint64_t *ret_kept, struct error *e)
{
	struct shared s = {
		.r = r, .n_chunks = (r->size + CHUNK - 1) / CHUNK, .lock = PTHREAD_MUTEX_INITIALIZER,
	};
	s.digests = calloc(s.n_chunks + 1, DIGEST_LEN);
	if (!s.digests)
		return error_oom(e);
	int res = run_pass(&s, PASS_COPY, e);
	if (res == 0)
		res = file_sync(r->to.fd, r->to.path, e);
	if (res == 0)
		res = run_pass(&s, PASS_VERIFY, e);
	free(s.digests);
	if (res == 0)
		*ret_kept = s.kept;
	return res;
}
