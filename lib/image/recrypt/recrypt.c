/*
 * The copy of an image under another volume key: one thread a processor encrypts and writes, one
 * more has the disk take what is written. When all is written, the one waits for the disk while the
 * others read back.
 */
#include "lib/image/recrypt/internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX 4u
#define MAC_KEY_LEN 16u

enum pass { PASS_COPY, PASS_VERIFY };

struct shared {
	const struct recrypt *r;
	enum pass pass;
	uint64_t n_chunks;
	struct secret *mac_key;
	struct recrypt_chunk *chunks;
	pthread_mutex_t lock;
	pthread_cond_t changed;	/* a chunk is written, or all are */
	uint64_t next, done, kept;
	uint64_t at[JOBS_MAX];	/* the chunk that each worker is at; UINT64_MAX: none */
	unsigned n_workers;
	bool written;
	int result;
	struct error error;	/* of the first that failed */
};

struct seat {
	struct shared *s;
	unsigned n;	/* in at[] */
};

int recrypt_check(const char *cipher, unsigned key_bits, struct error *e)
{
	if (strcmp(cipher, "aes-xts-plain64") != 0 || (key_bits != 256 && key_bits != 512))
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "only aes-xts-plain64 volumes of 256 or 512 key bits can be copied under a new key, "
				 "this is %s of %u",
				 cipher, key_bits);
	return 0;
}

/* With the lock held. */
static void failed(struct shared *s, int res, const struct error *e)
{
	if (res >= 0 || s->result < 0)
		return;
	s->result = res;
	s->error = *e;
}

/* ---- the workers ---- */

static bool take(struct shared *s, unsigned seat, uint64_t *ret)
{
	pthread_mutex_lock(&s->lock);
	bool more = s->next < s->n_chunks && s->result == 0;
	s->at[seat] = UINT64_MAX;
	if (more)
		s->at[seat] = *ret = s->next++;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return more;
}

static void finish_chunk(struct shared *s, int res, struct error *e)
{
	pthread_mutex_lock(&s->lock);
	s->done++;
	uint64_t bytes = s->done * RECRYPT_CHUNK < s->r->size ? s->done * RECRYPT_CHUNK : s->r->size;
	if (res == 0 && progress_report(s->r->progress, s->pass == PASS_COPY ? "re-encrypting" : "verifying", bytes,
					s->r->size) != 0)
		res = error_set(e, ERROR_FAILED, ECANCELED, "stopped");
	failed(s, res, e);
	pthread_mutex_unlock(&s->lock);
}

static void *run_worker(void *ctx)
{
	struct seat *seat = ctx;
	struct shared *s = seat->s;
	struct error e = { 0 };
	struct recrypt_worker w = { .r = s->r };
	uint64_t n;
	int res = recrypt_worker_begin(&w, s->mac_key->data, &e);
	if (res < 0)
		finish_chunk(s, res, &e);
	while (take(s, seat->n, &n)) {
		res = s->pass == PASS_COPY ? recrypt_copy_chunk(&w, n, &s->chunks[n], &e)
					   : recrypt_verify_chunk(&w, n, &s->chunks[n], &e);
		finish_chunk(s, res, &e);
	}
	pthread_mutex_lock(&s->lock);
	s->kept += w.kept;
	pthread_mutex_unlock(&s->lock);
	recrypt_worker_end(&w);
	return NULL;
}

static unsigned workers_wanted(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	return processors < 1 ? 1 : processors > (long)JOBS_MAX ? JOBS_MAX : (unsigned)processors;
}

static int run_pass(struct shared *s, enum pass pass)
{
	pthread_t threads[JOBS_MAX];
	struct seat seats[JOBS_MAX];
	unsigned started = 0, want = workers_wanted();
	pthread_mutex_lock(&s->lock);
	s->pass = pass;
	s->next = s->done = 0;
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < want; i++)
		seats[i] = (struct seat){ s, i };
	while (started + 1 < want && pthread_create(&threads[started], NULL, run_worker, &seats[started]) == 0)
		started++;
	run_worker(&seats[want - 1]);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return s->result;
}

/* ---- the disk ---- */

/* All chunks before this one are written, with the lock held. */
static uint64_t written_to(const struct shared *s)
{
	uint64_t to = s->next;
	for (unsigned i = 0; i < JOBS_MAX; i++)
		to = s->at[i] < to ? s->at[i] : to;
	return to;
}

/*
 * The disk writes while the next is computed, instead of all at the end; a worker would wait in
 * these calls when the disk's queue is full.
 */
static void *run_disk(void *ctx)
{
	struct shared *s = ctx;
	struct error e = { 0 };
	pthread_mutex_lock(&s->lock);
	for (uint64_t told = 0, to; !s->written; told = to) {
		while (!s->written && (to = written_to(s)) <= told)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->written)
			break;
		pthread_mutex_unlock(&s->lock);
		sync_file_range(s->r->to.fd, (off_t)(told * RECRYPT_CHUNK), (off_t)((to - told) * RECRYPT_CHUNK),
				SYNC_FILE_RANGE_WRITE);
		pthread_mutex_lock(&s->lock);
	}
	bool whole = s->result == 0;
	pthread_mutex_unlock(&s->lock);
	int res = whole ? file_sync(s->r->to.fd, s->r->to.path, &e) : 0;
	pthread_mutex_lock(&s->lock);
	failed(s, res, &e);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void all_written(struct shared *s)
{
	pthread_mutex_lock(&s->lock);
	s->written = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static int run(struct shared *s)
{
	pthread_t disk;
	bool beside = pthread_create(&disk, NULL, run_disk, s) == 0;
	int res = run_pass(s, PASS_COPY);
	all_written(s);
	if (!beside)
		run_disk(s);
	if (res == 0)
		run_pass(s, PASS_VERIFY);
	if (beside)
		pthread_join(disk, NULL);
	return s->result;
}

int recrypt_run(const struct recrypt *r, uint64_t *ret_kept, struct error *e)
{
	struct shared s = {
		.r = r, .n_chunks = (r->size + RECRYPT_CHUNK - 1) / RECRYPT_CHUNK, .lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	for (unsigned i = 0; i < JOBS_MAX; i++)
		s.at[i] = UINT64_MAX;
	s.chunks = calloc(s.n_chunks + 1, sizeof(*s.chunks));
	if (!s.chunks)
		return error_oom(e);
	int res = secret_random(MAC_KEY_LEN, &s.mac_key, &s.error);
	if (res == 0)
		res = run(&s);
	secret_free(s.mac_key);
	for (uint64_t n = 0; n < s.n_chunks; n++)
		recrypt_chunk_clear(&s.chunks[n]);
	free(s.chunks);
	if (res < 0)
		return error_pass(e, &s.error);
	*ret_kept = s.kept;
	return 0;
}
