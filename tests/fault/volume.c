#include "tests/fault/volume.h"

#include <endian.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_MAX (4u << 20)
#define QCOW2_LUKS_EXTENSION 0x0537be77u

static const unsigned char luks_magic[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

struct qcow2 {
	bool is;
	unsigned cluster_bits;
	uint64_t size, l1_offset, header_offset, header_len;
	uint32_t l1_size;
};

static uint64_t be64(const unsigned char *p)
{
	uint64_t n;
	memcpy(&n, p, sizeof(n));
	return be64toh(n);
}

static uint32_t be32(const unsigned char *p)
{
	uint32_t n;
	memcpy(&n, p, sizeof(n));
	return be32toh(n);
}

static bool qcow2_parse(int fd, struct qcow2 *q)
{
	unsigned char h[4096];
	ssize_t n = pread(fd, h, sizeof(h), 0);
	*q = (struct qcow2){ 0 };
	if (n < 104 || be32(h) != 0x514649fbu)
		return true;
	*q = (struct qcow2){ .is = true, .cluster_bits = be32(h + 20), .size = be64(h + 24), .l1_size = be32(h + 36),
			     .l1_offset = be64(h + 40) };
	for (size_t at = be32(h + 100); at + 24 <= (size_t)n && be32(h + at);) {
		if (be32(h + at) == QCOW2_LUKS_EXTENSION) {
			q->header_offset = be64(h + at + 8);
			q->header_len = be64(h + at + 16);
		}
		at += 8 + (be32(h + at + 4) + 7) / 8 * 8;
	}
	return q->header_len && q->header_len <= HEADER_MAX;
}

bool volume_is_one(const char *path)
{
	unsigned char magic[6] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, magic, sizeof(magic), 0);
	if (fd >= 0)
		close(fd);
	return n == 6 && (!memcmp(magic, luks_magic, 6) || !memcmp(magic, "QFI\xfb", 4));
}

/* libcryptsetup repairs what it loads, so it gets a copy. */
static int header_copy(int fd, const struct qcow2 *q)
{
	static unsigned char buf[HEADER_MAX];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	size_t len = q->is ? (size_t)q->header_len : sizeof(buf);
	off_t from = q->is ? (off_t)q->header_offset : 0;
	ssize_t n = pread(fd, buf, len, from);
	int copy = memfd_create("header", MFD_CLOEXEC);
	if (n <= 0 || copy < 0 || ftruncate(copy, q->is || st.st_size < HEADER_MAX ? HEADER_MAX : st.st_size) < 0 ||
	    pwrite(copy, buf, (size_t)n, 0) != n)
		return -1;
	return copy;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Which known passphrase opens each keyslot. */
static void look_at_slots(struct crypt_device *cd, const struct passphrase *known, size_t n_known,
			  struct volume_look *ret)
{
	const char *names[32];
	char *end = ret->slots;
	size_t n = 0, k;
	for (int slot = 0; slot < 32; slot++) {
		crypt_keyslot_info info = crypt_keyslot_status(cd, slot);
		if (info != CRYPT_SLOT_ACTIVE && info != CRYPT_SLOT_ACTIVE_LAST)
			continue;
		for (k = 0; k < n_known; k++) {
			size_t len = sizeof(ret->key);
			const char *text = known[k].text;
			if (crypt_volume_key_get(cd, slot, (char *)ret->key, &len, text, strlen(text)) < 0)
				continue;
			ret->key_len = len;
			ret->ours |= k == 0;
			break;
		}
		names[n++] = k < n_known ? known[k].name : "unknown";
	}
	qsort(names, n, sizeof(names[0]), by_name);
	/* 32 names of at most 7 letters. */
	*end = 0;
	for (k = 0; k < n; k++)
		end += sprintf(end, "%s%s", k ? "," : "", names[k]);
}

/* XTS of whole encryption sectors; the IV is the number of 512-byte sectors before it. */
static void decrypt(const struct volume_look *v, unsigned sector_size, uint64_t iv, unsigned char *buf, size_t len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;
	const EVP_CIPHER *aes = v->key_len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
	if (!ctx || EVP_DecryptInit_ex(ctx, aes, NULL, v->key, NULL) != 1)
		abort();
	for (size_t at = 0; at < len; at += sector_size, iv += sector_size / 512) {
		uint64_t le[2] = { htole64(iv), 0 };
		if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, (unsigned char *)le) != 1 ||
		    EVP_DecryptUpdate(ctx, buf + at, &n, buf + at, (int)sector_size) != 1)
			abort();
	}
	EVP_CIPHER_CTX_free(ctx);
}

static const char *qcow2_data(int fd, const struct qcow2 *q, struct volume_look *v)
{
	const uint64_t cluster = 1ull << q->cluster_bits, per_l2 = cluster / 8, mask = 0x00fffffffffffe00ull;
	unsigned char n[8];
	memset(v->data, 0, VOLUME_SAMPLE);
	for (uint64_t at = 0; at < VOLUME_SAMPLE && at < q->size; at += cluster) {
		uint64_t index = at / cluster, l2, host;
		size_t len = cluster < VOLUME_SAMPLE - at ? (size_t)cluster : (size_t)(VOLUME_SAMPLE - at);
		if (index / per_l2 >= q->l1_size || pread(fd, n, 8, (off_t)(q->l1_offset + index / per_l2 * 8)) != 8)
			return "no entry in its L1 table";
		l2 = be64(n) & mask;
		if (!l2)
			continue;
		if (pread(fd, n, 8, (off_t)(l2 + index % per_l2 * 8)) != 8)
			return "no entry in its L2 table";
		host = be64(n) & mask;
		if (be64(n) >> 62 & 1)
			return "a compressed cluster";
		if (!host || be64(n) & 1)
			continue;
		if (pread(fd, v->data + at, len, (off_t)host) != (ssize_t)len)
			return "a cluster that is cut off";
		decrypt(v, 512, host / 512, v->data + at, len);
	}
	return NULL;
}

static const char *read_data(struct crypt_device *cd, const char *path, const struct qcow2 *q, struct volume_look *v)
{
	struct stat st;
	const char *wrong = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	v->data = malloc(VOLUME_SAMPLE);
	if (!v->data)
		abort();
	if (fd < 0 || fstat(fd, &st) < 0)
		return "no data file";
	if (q->is) {
		v->size = q->size;
		wrong = qcow2_data(fd, q, v);
	} else {
		off_t payload = (off_t)crypt_get_data_offset(cd) * 512;
		v->size = st.st_size > payload ? (uint64_t)(st.st_size - payload) : 0;
		if (pread(fd, v->data, VOLUME_SAMPLE, payload) != VOLUME_SAMPLE)
			wrong = "the data is cut off";
		else
			decrypt(v, (unsigned)crypt_get_sector_size(cd), 0, v->data, VOLUME_SAMPLE);
	}
	close(fd);
	return wrong;
}

static void silent(int level, const char *text, void *ctx)
{
	(void)level, (void)text, (void)ctx;
}

const char *volume_read(const char *header, const char *data, const struct passphrase *known, size_t n_known,
			struct volume_look *ret)
{
	struct crypt_device *cd = NULL;
	struct qcow2 q;
	char name[64];
	const char *wrong = NULL;
	int fd = open(header, O_RDONLY | O_CLOEXEC), copy = -1;
	*ret = (struct volume_look){ 0 };
	crypt_set_log_callback(NULL, silent, NULL);
	if (fd < 0 || !qcow2_parse(fd, &q) || (copy = header_copy(fd, &q)) < 0)
		wrong = "no header";
	snprintf(name, sizeof(name), "/proc/self/fd/%d", copy);
	if (!wrong && (crypt_init(&cd, name) < 0 || crypt_load(cd, NULL, NULL) < 0))
		wrong = "a header that cannot be loaded";
	if (!wrong) {
		look_at_slots(cd, known, n_known, ret);
		if (ret->key_len)
			wrong = read_data(cd, data, &q, ret);
	}
	crypt_free(cd);
	if (fd >= 0)
		close(fd);
	if (copy >= 0)
		close(copy);
	return wrong;
}
