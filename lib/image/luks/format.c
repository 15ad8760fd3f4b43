/* New LUKS headers, and what their keyslots cost. */
#include "lib/image/luks/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Of each copy of the metadata, as cryptsetup has it by default. */
#define LUKS2_METADATA (16u * 1024)
#define HMAC_KEY_LEN 32u	/* of hmac(sha256), behind the cipher's key */

/*
 * Fixed costs instead of a benchmark: it takes seconds, its result depends on the load of the
 * moment, and in virtual machines it fails at random.
 *
 * A generated passphrase has 256 bits: the smallest count libcryptsetup takes (RFC 2898's 1000)
 * loses nothing. A person's gets, for LUKS1, what takes about a second for a 512-bit key on a
 * current processor and twice OWASP's 2023 figure for PBKDF2-HMAC-SHA256 at least; for LUKS2
 * RFC 9106's second recommendation raised to 256 MiB.
 */
#define GENERATED_ITERATIONS 1000u
#define PERSON_ITERATIONS 2000000u
#define PERSON_ARGON2_TIME 4u
#define PERSON_ARGON2_MEMORY (256u * 1024)	/* KiB */
#define PERSON_ARGON2_THREADS 4u

int luks_set_cost(struct luks *l, enum luks_kdf_cost cost, struct error *e)
{
	struct crypt_pbkdf_type t = {
		.type = CRYPT_KDF_PBKDF2,
		/* A LUKS1 header has one hash for everything. */
		.hash = l->info.version == 1 ? l->info.hash : "sha256",
		.iterations = cost == LUKS_KDF_PERSON ? PERSON_ITERATIONS : GENERATED_ITERATIONS,
		.flags = CRYPT_PBKDF_NO_BENCHMARK,
	};
	if (cost == LUKS_KDF_PERSON && l->info.version == 2) {
		t.type = CRYPT_KDF_ARGON2ID;
		t.iterations = PERSON_ARGON2_TIME;
		t.max_memory_kb = PERSON_ARGON2_MEMORY;
		t.parallel_threads = PERSON_ARGON2_THREADS;
	}
	l->session.log[0] = 0;
	int r = crypt_set_pbkdf_type(l->session.cd, &t);
	if (r < 0)
		return luks_fail(l, ERROR_FAILED, r, e, "cannot set the cost of a keyslot");
	return 0;
}

static int check_params(const struct luks_params *p, struct error *e)
{
	const char *dash = p->cipher ? strchr(p->cipher, '-') : NULL;
	if (p->version != 1 && p->version != 2)
		return error_set(e, ERROR_USAGE, EINVAL, "LUKS version %d is neither 1 nor 2", p->version);
	/* 31: the field of a LUKS1 header. */
	if (!dash || dash == p->cipher || !dash[1] || dash - p->cipher > 31 || strlen(dash + 1) > 31)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "'%s' is not a cipher; write it as aes-xts-plain64",
				 p->cipher ? p->cipher : "");
	if (luks_cipher_is_null(p->cipher))
		return error_set(e, ERROR_USAGE, EINVAL, "the null cipher encrypts nothing");
	if (p->key_bits % 8 || p->key_bits < 128 || p->key_bits > 512)
		return error_set(e, ERROR_USAGE, EINVAL, "a key of %u bits is not possible", p->key_bits);
	if (p->version == 1 && p->sector_size != LUKS_SECTOR)
		return error_set(e, ERROR_USAGE, EINVAL, "LUKS1 has sectors of 512 bytes only");
	if (p->version == 1 && (p->label || p->integrity))
		return error_set(e, ERROR_USAGE, EINVAL, "LUKS1 has no label or integrity");
	return 0;
}

size_t luks_volume_key_len(const struct luks_params *p)
{
	bool hmac = p->integrity && !strncmp(p->integrity, "hmac(", 5);
	return p->key_bits / 8 + (hmac ? HMAC_KEY_LEN : 0);
}

static uint64_t data_offset_of(const struct luks_params *p)
{
	if (p->data_offset)
		return p->data_offset;
	return p->detached ? 0 : p->version == 1 ? LUKS1_PAYLOAD_OFFSET : LUKS2_DATA_OFFSET;
}

static uint64_t metadata_size_of(const struct luks_params *p)
{
	return p->metadata_size ? p->metadata_size : LUKS2_METADATA;
}

static uint64_t keyslots_size_of(const struct luks_params *p)
{
	return p->keyslots_size ? p->keyslots_size : LUKS2_DATA_OFFSET - 2 * LUKS2_METADATA;
}

/* Of the memory file: the header, and at least what libcryptsetup takes for the place before the data. */
static size_t length_of(const struct luks_params *p)
{
	uint64_t offset = data_offset_of(p);
	uint64_t header = p->version == 2 ? 2 * metadata_size_of(p) + keyslots_size_of(p) :
			  p->detached	  ? LUKS1_PAYLOAD_OFFSET : 0;
	return (size_t)(header > offset ? header : offset);
}

/*
 * Where libcryptsetup is to think the data is. Only the formats with integrity touch it; for a
 * detached header it must be something else than the header, and not too small.
 */
static int choose_data_device(const struct luks_params *p, char *buf, size_t len, int *ret_dummy, struct error *e)
{
	buf[0] = 0;
	if (p->integrity) {
		snprintf(buf, len, "%s", p->data_device);
	} else if (p->detached) {
		*ret_dummy = memfd_create("kvmcrypt-data", MFD_CLOEXEC);
		if (*ret_dummy < 0 || ftruncate(*ret_dummy, LUKS2_DATA_OFFSET) < 0)
			return error_errno(e, ERROR_FAILED, errno, "cannot make a memory file");
		snprintf(buf, len, "/proc/self/fd/%d", *ret_dummy);
	}
	return 0;
}

/* Ours wants an own volume key; libcryptsetup takes one and calculates its digest. */
static int format(struct luks *l, const struct luks_params *p, const struct secret *volume_key,
		  struct error *e)
{
	char cipher[32], mode[32], uuid_text[UUID_STR_LEN], data[PATH_MAX];
	AUTOCLOSE int dummy = -1;
	const char *dash = strchr(p->cipher, '-');
	snprintf(cipher, sizeof(cipher), "%.*s", (int)(dash - p->cipher), p->cipher);
	snprintf(mode, sizeof(mode), "%s", dash + 1);
	if (p->uuid)
		uuid_unparse_lower(p->uuid, uuid_text);

	int chosen = choose_data_device(p, data, sizeof(data), &dummy, e);
	if (chosen < 0)
		return chosen;
	struct crypt_params_luks1 luks1 = { .hash = "sha256", .data_device = data[0] ? data : NULL };
	struct crypt_params_integrity none = { 0 };
	struct crypt_params_luks2 luks2 = {
		.sector_size = p->sector_size,
		.label = p->label,
		.data_device = data[0] ? data : NULL,
		.integrity = p->integrity,
		.integrity_params = p->integrity ? &none : NULL,
	};
	void *params = p->version == 1 ? (void *)&luks1 : (void *)&luks2;
	int r = crypt_set_data_offset(l->session.cd, data_offset_of(p) / LUKS_SECTOR);
	if (r >= 0 && p->version == 2)
		r = crypt_set_metadata_size(l->session.cd, metadata_size_of(p), keyslots_size_of(p));
	if (r >= 0)
		r = crypt_format(l->session.cd, p->version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, cipher, mode,
				 p->uuid ? uuid_text : NULL, (const char *)volume_key->data,
				 volume_key->len, params);
	if (r < 0)
		return luks_fail(l, ERROR_FAILED, r, e, "cannot make a LUKS header");
	return 0;
}

/*
 * libcryptsetup fills the keyslots area with random bytes. In a new file nothing was ever there that these
 * would hide, and as a hole it need not be written, synced and read again each time. Where a header is
 * restored, its zeros are written over what was there.
 */
static void empty_keyslots_area(struct luks *l, const struct luks_params *p)
{
	off_t begin = p->version == 2 ? 2 * (off_t)metadata_size_of(p) : (off_t)LUKS1_PHDR_PAGE;
	fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, (off_t)l->len - begin);
}

int luks_format(const struct luks_params *p, const struct secret *passphrase, enum luks_kdf_cost cost,
		struct luks **ret, struct secret **ret_volume_key, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	AUTOSECRET struct secret *volume_key = NULL;
	int r = check_params(p, e);
	if (r < 0)
		return r;
	if ((r = luks_new(length_of(p), 0, &l, e)) < 0 || (r = luks_start(l, e)) < 0 ||
	    (r = p->volume_key ? secret_copy(p->volume_key->data, p->volume_key->len, &volume_key, e)
			       : secret_random(luks_volume_key_len(p), &volume_key, e)) < 0)
		return r;
	/* The digest of the volume key needs no cost at all: nobody guesses a random key. */
	l->info.version = p->version;
	snprintf(l->info.hash, sizeof(l->info.hash), "sha256");
	if ((r = luks_set_cost(l, LUKS_KDF_GENERATED, e)) < 0 || (r = format(l, p, volume_key, e)) < 0)
		return r;
	empty_keyslots_area(l, p);
	if ((r = luks_reload(l, e)) < 0 ||
	    (r = luks_add_keyslot(l, 0, volume_key, passphrase, cost, NULL, e)) < 0)
		return r;
	*ret = TAKE_PTR(l);
	if (ret_volume_key)
		*ret_volume_key = TAKE_PTR(volume_key);
	return 0;
}
