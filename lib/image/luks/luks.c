/* An open LUKS header: a memfd, libcryptsetup's context on it, and what is in it. */
#include "lib/image/luks/internal.h"

#include "base/file.h"
#include "base/bytes.h"
#include "base/surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#define COPY_BLOCK 65536u

/*
 * A cipher that libcryptsetup cannot do itself it tries through the kernel: AF_ALG, then a mapping
 * by device-mapper, for which a file needs a loop device. Its message speaks of the last resort
 * that failed; on a memfd nothing else comes to want either of them.
 */
bool luks_cipher_is_missing(const struct luks *l)
{
	const char *log = l->session.log;
	return strstr(log, "device-mapper") || strstr(log, "loopback") || strstr(log, "cipher");
}

/* OpenSSL and Nettle, as QEMU, have AES-XTS with two keys of 128 or 256 bits. */
bool luks_needs_kernel(const struct luks *l)
{
	return l->info.key_bits == 384 && strstr(l->info.cipher, "-xts-");
}

int luks_fail(const struct luks *l, enum error_kind kind, int r, struct error *e, const char *what)
{
	if (luks_cipher_is_missing(l) && luks_needs_kernel(l))
		return error_set(e, ERROR_FAILED, ENOTSUP, "%s: %s", what, LUKS_NEEDS_KERNEL);
	if (luks_cipher_is_missing(l))
		return error_set(e, ERROR_FAILED, ENOTSUP,
				 "%s: the cipher is not available on this machine (%s)", what, l->session.log);
	if (l->session.log[0])
		return error_set(e, kind, -r, "%s: %s", what, l->session.log);
	return error_errno(e, kind, r, "%s", what);
}

bool luks_cipher_is_null(const char *cipher)
{
	/* "cipher_null-ecb", and in the kernel's own notation "capi:ecb(cipher_null)-…". */
	return strcasestr(cipher, "null") != NULL;
}

int luks_new(size_t len, uint64_t data_size, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = calloc(1, sizeof(*l));
	if (!l)
		return error_oom(e);
	l->fd = memfd_create("kvmcrypt-luks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (l->fd < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make a memory file");
	/* A fixed size, so that the mapping can never be cut off under a reader. */
	if (ftruncate(l->fd, (off_t)len) < 0 ||
	    fcntl(l->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot size a memory file");
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, l->fd, 0);
	if (map == MAP_FAILED)
		return error_errno(e, ERROR_FAILED, errno, "cannot map a memory file");
	l->map = map;
	l->len = len;
	l->data_size = data_size;
	*ret = TAKE_PTR(l);
	return 0;
}

void luks_free(struct luks *l)
{
	if (!l)
		return;
	int saved = errno;
	crypt_free(l->session.cd);
	if (l->map)
		munmap(l->map, l->len);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	errno = saved;
}

int luks_start(struct luks *l, struct error *e)
{
	char path[64];
	crypt_free(l->session.cd);
	l->session.cd = NULL;
	l->session.log[0] = 0;
	crypt_set_debug_level(CRYPT_DEBUG_NONE);
	luks_path(l, path, sizeof(path));
	int r = surroundings_check(e);
	if (r < 0)
		return r;
	r = crypt_session_open(&l->session, path, NULL, e);
	if (r < 0)
		return r;
	/* A LUKS header is the subject here, never a device to be activated. */
	crypt_set_rng_type(l->session.cd, CRYPT_RNG_URANDOM);
	return 0;
}

static int read_luks2(struct luks *l, struct luks_info *info, struct error *e)
{
	const char *text = NULL;
	const char *uuid = crypt_get_uuid(l->session.cd);
	if (!uuid || uuid_parse(uuid, info->uuid) < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS2 header: UUID is not valid");
	int r = crypt_dump_json(l->session.cd, &text, 0);
	if (r < 0)
		return luks_fail(l, ERROR_DAMAGED, r, e, "LUKS2 header: cannot read its metadata");
	r = luks2_check_json(text, l->len, l->data_size, info, e);
	/* Its checksum is right: whole, and not accepted. */
	if (r == -EBADMSG && e)
		e->err = EPROTO;
	return r == -EBADMSG ? -EPROTO : r;
}

int luks_reload(struct luks *l, struct error *e)
{
	struct luks_info info = { 0 };
	int version = luks_version_of(l->map, l->len);
	int r;
	/* LUKS1 is checked before libcryptsetup parses it; LUKS2 needs its parser for the JSON. */
	if (version == 1 && (r = luks1_check(l->map, l->len, l->len, l->data_size, &info, e)) < 0)
		return r;
	if ((r = luks_start(l, e)) < 0)
		return r;
	r = crypt_load(l->session.cd, version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, NULL);
	if (r < 0) {
		int why = version == 1 ? 0 : luks2_explain(l->map, l->len, e);
		return why < 0 ? why : luks_fail(l, ERROR_DAMAGED, r, e, "LUKS header cannot be read");
	}
	if (version != 1 && (r = read_luks2(l, &info, e)) < 0)
		return r;
	l->info = info;
	return 0;
}

int luks_context(struct luks *l, struct error *e)
{
	int r = l->session.cd ? 0 : luks_reload(l, e);
	/* One that has not read the header is none: the next try is to fail for the same reason. */
	if (r < 0) {
		crypt_free(l->session.cd);
		l->session.cd = NULL;
	}
	return r;
}

static int fill_range(struct luks *l, const unsigned char *bytes, size_t at, size_t n, struct error *e)
{
	if (pwrite(l->fd, bytes + at, n, (off_t)at) != (ssize_t)n)
		return error_errno(e, ERROR_FAILED, errno, "cannot fill a memory file");
	return 0;
}

/* Leaves zero blocks as holes: most of a LUKS2 keyslots area is empty. */
static int fill(struct luks *l, const unsigned char *bytes, struct error *e)
{
	static const unsigned char zeros[COPY_BLOCK];
	int r = 0;
	for (size_t at = 0; at < l->len && r == 0; at += COPY_BLOCK) {
		size_t n = l->len - at < COPY_BLOCK ? l->len - at : COPY_BLOCK;
		if (memcmp(bytes + at, zeros, n) != 0)
			r = fill_range(l, bytes, at, n, e);
	}
	return r;
}

/* LUKS1: the rest is not even read, as memory that was never touched costs a page fault each 4 KiB. */
static int fill_used(struct luks *l, const unsigned char *bytes, const struct luks_info *info, struct error *e)
{
	int r = fill_range(l, bytes, 0, l->len < LUKS1_PHDR_PAGE ? l->len : LUKS1_PHDR_PAGE, e);
	for (int i = 0; i < info->n_keyslots && r == 0; i++)
		if (info->keyslots[i].active)
			r = fill_range(l, bytes, info->keyslots[i].key_offset, info->keyslots[i].key_length, e);
	return r;
}

int luks_version_of(const unsigned char *bytes, size_t len)
{
	if (len >= LUKS_MAGIC_LEN + 2 && !memcmp(bytes, LUKS_MAGIC, LUKS_MAGIC_LEN))
		return get_be16(bytes + LUKS_MAGIC_LEN);
	for (size_t at = LUKS2_HDR_MIN; at <= LUKS2_HDR_MAX && at < len; at *= 2)
		if (len - at >= LUKS_MAGIC_LEN && !memcmp(bytes + at, LUKS2_MAGIC_SECOND, LUKS_MAGIC_LEN))
			return 2;
	return 0;
}

int luks_region_of(const unsigned char *bytes, size_t len, uint64_t *ret, struct error *e)
{
	int version = luks_version_of(bytes, len);
	if (version == 2)
		return luks2_region(bytes, len, ret, e);
	if (version != 1)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS header: version is neither 1 nor 2");
	if (len < LUKS1_PHDR_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS1 header: too short");
	uint64_t payload = luks1_payload_offset(bytes);
	if (!payload)
		payload = luks1_keyslots_end(bytes);
	*ret = payload < LUKS1_PHDR_PAGE ? LUKS1_PHDR_PAGE
	       : payload < LUKS1_REGION_MAX ? payload : LUKS1_REGION_MAX;
	return 0;
}

static int load(const void *header, size_t len, uint64_t data_size, bool used_only, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	struct luks_info info;
	uint64_t region;
	int r;
	if (len > 2 * (uint64_t)LUKS2_HDR_MAX + LUKS2_KEYSLOTS_AREA_MAX)
		return error_set(e, ERROR_DAMAGED, EFBIG, "LUKS header: region is too large");
	if ((r = luks_region_of(header, len, &region, e)) < 0)
		return r;
	if (luks_version_of(header, len) == 1 &&
	    (r = luks1_check(header, len, len, data_size, &info, e)) < 0)
		return r;
	if (luks_version_of(header, len) == 2 && region > len)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS2 header: is cut off");
	bool light = used_only && luks_version_of(header, len) == 1 && luks1_is_usual(&info);
	if ((r = luks_new(len, data_size, &l, e)) < 0 ||
	    (r = light ? fill_used(l, header, &info, e) : fill(l, header, e)) < 0)
		return r;
	/* Of such a header our own checks tell all, and luks1_open() opens it: see luks_context(). */
	if (light)
		l->info = info;
	else if ((r = luks_reload(l, e)) < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

int luks_load(const void *header, size_t len, uint64_t data_size, struct luks **ret, struct error *e)
{
	return load(header, len, data_size, false, ret, e);
}

int luks_load_used(const void *header, size_t len, uint64_t data_size, struct luks **ret, struct error *e)
{
	return load(header, len, data_size, true, ret, e);
}

const struct luks_info *luks_info(const struct luks *l)
{
	return &l->info;
}

const unsigned char *luks_bytes(const struct luks *l)
{
	return l->map;
}

size_t luks_len(const struct luks *l)
{
	return l->len;
}

int luks_write_used(const struct luks *l, size_t from, size_t to, int fd, uint64_t offset, const char *path,
		    struct error *e)
{
	int r = 0;
	for (uint64_t at = from, start, end; r == 0 && at < to; at = end) {
		r = file_next_data(l->fd, at, to, &start, &end, path, e);
		if (r == 0 && start < to)
			r = file_pwrite(fd, l->map + start, (size_t)(end - start), offset + start, path, e);
	}
	return r;
}

void luks_path(const struct luks *l, char *buf, size_t len)
{
	snprintf(buf, len, "/proc/self/fd/%d", l->fd);
}

int luks_set_flags(struct luks *l, uint32_t flags, struct error *e)
{
	if (l->info.version != 2)
		return error_set(e, ERROR_USAGE, EINVAL, "only a LUKS2 header keeps flags");
	l->session.log[0] = 0;
	int r = crypt_persistent_flags_set(l->session.cd, CRYPT_FLAGS_ACTIVATION, flags);
	if (r < 0)
		return luks_fail(l, ERROR_FAILED, r, e, "cannot store the flags");
	return luks_reload(l, e);
}
