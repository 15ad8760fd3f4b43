/*
 * The proof of a copy that shares nothing with the loop that made it: places of the guest's disk are found
 * by each image's own tables, decrypted by another library, each with its own key, and compared.
 */
#include "lib/image/recrypt/recrypt.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <nettle/xts.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u		/* what the sectors are counted in */
#define SECTOR_MAX 4096u
#define SAMPLES 2048u		/* evenly spread over the disk, and over what of it has data */

/* In locked memory: it holds the keys. */
struct state {
	union {
		struct xts_aes256_key aes256;
		struct xts_aes128_key aes128;
	} xts[2];
	bool long_key;
	unsigned char plain[2][SECTOR_MAX];
};

struct sampler {
	const struct recrypt *r;
	struct state *state;
	struct error *e;
};

static void set_key(struct state *s, unsigned side, const struct secret *key)
{
	s->long_key = key->len == 64;
	if (s->long_key)
		xts_aes256_set_decrypt_key(&s->xts[side].aes256, key->data);
	else
		xts_aes128_set_decrypt_key(&s->xts[side].aes128, key->data);
}

static void decrypt(struct state *s, unsigned side, uint64_t number, size_t len, const unsigned char *from)
{
	unsigned char iv[16] = { 0 };
	put_le64(iv, number);
	if (s->long_key)
		xts_aes256_decrypt_message(&s->xts[side].aes256, iv, len, s->plain[side], from);
	else
		xts_aes128_decrypt_message(&s->xts[side].aes128, iv, len, s->plain[side], from);
}

/* A sector's number, which its tweak is made of. */
static uint64_t number_of(const struct recrypt *r, uint64_t at)
{
	return (at - (r->map ? 0 : r->data_offset)) / SECTOR;
}

/*
 * One sector; at and there: where it is in the image and in the copy. Zeros that nobody wrote may stay what they
 * are: a hole, which reads as another noise then.
 */
static int compare(const struct sampler *s, uint64_t at, uint64_t there)
{
	const struct recrypt *r = s->r;
	unsigned char sector[2][SECTOR_MAX];
	size_t len = r->sector_size;
	int res = file_pread(r->from.fd, sector[0], len, at, r->from.path, s->e);
	if (res == 0)
		res = file_pread(r->to.fd, sector[1], len, there, r->to.path, s->e);
	if (res < 0 || (bytes_are_zero(sector[0], len) && bytes_are_zero(sector[1], len)))
		return res;
	decrypt(s->state, 0, number_of(r, at), len, sector[0]);
	decrypt(s->state, 1, number_of(r, there), len, sector[1]);
	if (memcmp(s->state->plain[0], s->state->plain[1], len) != 0)
		return error_set(s->e, ERROR_FAILED, EIO, "%s has other data at byte %llu than the image", r->to.path,
				 (unsigned long long)there);
	return 0;
}

static int pick(uint64_t below, uint64_t *ret, struct error *e)
{
	int r = random_bytes(ret, sizeof(*ret), e);
	if (r == 0)
		*ret %= below;
	return r;
}

/* In [from, to) of the file one sector, at random. */
static int sample_range(const struct sampler *s, uint64_t from, uint64_t to, uint64_t there)
{
	uint64_t n, size = s->r->sector_size;
	if (from > s->r->size || (to = to < s->r->size ? to : s->r->size) - from < size)
		return 0;
	int res = pick((to - from) / size, &n, s->e);
	return res < 0 ? res : compare(s, from + n * size, there + n * size);
}

static int sample_raw(const struct sampler *s)
{
	const struct recrypt *r = s->r;
	uint64_t len = r->size > r->data_offset ? r->size - r->data_offset : 0;
	uint64_t step = len / SAMPLES - len / SAMPLES % r->sector_size;
	int res = 0;
	step = step > r->sector_size ? step : r->sector_size;
	for (uint64_t at = r->data_offset; at < r->size && res == 0; at += step) {
		uint64_t start, stop;
		res = file_next_data(r->from.fd, at, r->size, &start, &stop, r->from.path, s->e);
		if (res < 0 || start == r->size)
			return res;
		/* In a thin file whole steps are holes. */
		if (start - at >= step)
			at = start - (start - r->data_offset) % step;
		start -= (start - r->data_offset) % r->sector_size;
		res = sample_range(s, start, stop < at + step ? stop : at + step, start);
	}
	return res;
}

/* Only where the image has data, and only by the tables: each image's own. */
static int sample_qcow2(const struct sampler *s, const struct qcow2_side *image, const struct qcow2_side *copy)
{
	uint64_t cluster = UINT64_C(1) << s->r->map->cluster_bits, step = image->h->size / SAMPLES;
	int res = 0;
	step = step > cluster ? step - step % cluster : cluster;
	for (uint64_t at = 0; at < image->h->size && res == 0; at += step) {
		uint64_t n, host, there;
		res = pick(step / cluster, &n, s->e);
		if (res == 0 && at + n * cluster >= image->h->size)
			n = 0;
		if (res == 0)
			res = qcow2_find(image, at + n * cluster, &host, s->e);
		if (res == 0)
			res = qcow2_find(copy, at + n * cluster, &there, s->e);
		if (res == 0 && host != there)
			return error_set(s->e, ERROR_FAILED, EIO, "%s has guest data elsewhere than the image",
					 s->r->to.path);
		if (res == 0 && host)
			res = sample_range(s, host, host + cluster, there);
	}
	return res;
}

/* A thin disk has its data in few places: these by the map. */
static int sample_clusters(const struct sampler *s)
{
	const struct qcow2_map *m = s->r->map;
	uint64_t cluster = UINT64_C(1) << m->cluster_bits, used = 0, left = 0;
	int res = 0;
	for (uint64_t i = 0; i < m->n_clusters / 8 + 1; i++)
		used += (uint64_t)__builtin_popcount(m->data[i]);
	for (uint64_t n = 0; n < m->n_clusters && res == 0; n++) {
		if (!qcow2_map_is_data(m, n * cluster) || left--)
			continue;
		left = used / SAMPLES;
		res = sample_range(s, n * cluster, (n + 1) * cluster, n * cluster);
	}
	return res;
}

int recrypt_sample(const struct recrypt *r, const struct qcow2_side *image, const struct qcow2_side *copy,
		   struct error *e)
{
	AUTOSECRET struct secret *memory = NULL;
	int res = secret_new(sizeof(struct state), &memory, e);
	if (res < 0)
		return res;
	const struct sampler s = { r, (struct state *)(void *)memory->data, e };
	set_key(s.state, 0, r->from.key);
	set_key(s.state, 1, r->to.key);
	secret_wipe_stack();
	res = r->map ? sample_qcow2(&s, image, copy) : sample_raw(&s);
	if (res == 0 && r->map)
		res = sample_clusters(&s);
	secret_wipe_stack();
	return res;
}
