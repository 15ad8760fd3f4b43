#include "keystore/seal/internal.h"

#include "base/file.h"
#include "base/library/library.h"
#include "base/surroundings.h"
#include "keystore/seal/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void on_log(int level, const char *msg, void *ctx)
{
	struct seal *s = ctx;
	if (level != CRYPT_LOG_ERROR)
		return;
	snprintf(s->log, sizeof(s->log), "%s", msg);
	s->log[strcspn(s->log, "\n")] = 0;
}

int seal_fail(const struct seal *s, int r, const char *doing, struct error *e)
{
	if (s->log[0])
		return error_set(e, ERROR_FAILED, -r, "cannot %s: %s", doing, s->log);
	return error_errno(e, ERROR_FAILED, -r, "cannot %s", doing);
}

void seal_free(struct seal *s)
{
	if (!s)
		return;
	if (s->cd)
		crypt_free(s->cd);
	if (s->working && !s->committed) {
		unlinkat(s->dir, SEAL_NEW, 0);
		seal_file_wipe(s->fd);
	}
	cleanup_close(&s->fd);
	free(s);
}

static int seal_alloc(int dir, struct seal **ret, struct error *e)
{
	struct seal *s = calloc(1, sizeof(*s));
	if (!s)
		return error_oom(e);
	s->fd = -1;
	s->dir = dir;
	*ret = s;
	return 0;
}

/* By descriptor, so that libcryptsetup works on the very file we opened. */
static int init(struct seal *s, struct error *e)
{
	char path[32];
	int r = surroundings_check(e);
	if (r < 0 || (r = cryptsetup_load(e)) < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	r = crypt_init(&s->cd, path);
	if (r < 0)
		return error_errno(e, ERROR_FAILED, -r, "cannot use the seal through /proc/self/fd");
	crypt_set_log_callback(s->cd, on_log, s);
	return 0;
}

static int load(struct seal *s, struct error *e)
{
	int r = init(s, e);
	if (r < 0)
		return r;
	r = crypt_load(s->cd, CRYPT_LUKS2, NULL);
	if (r < 0 && r != -EINVAL && r != -ENOENT && r != -EIO)
		return error_errno(e, ERROR_FAILED, -r, "libcryptsetup cannot read the seal");
	if (r < 0 || crypt_get_volume_key_size(s->cd) != ROOT_KEY_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal is damaged: no LUKS2 header of a keystore in it");
	return 0;
}

static int in_memory(struct seal *s, struct error *e)
{
	s->fd = memfd_create("kvmcrypt-seal", MFD_CLOEXEC);
	return s->fd < 0 ? error_errno(e, ERROR_FAILED, errno, "cannot make a file in memory") : 0;
}

int seal_load_file(int dir, const char *name, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *s = NULL;
	AUTOCLOSE int file = -1;
	int r = seal_alloc(dir, &s, e);
	if (r < 0 || (r = seal_file_open(dir, name, &file, e)) < 0)
		return r;
	if ((r = in_memory(s, e)) < 0 || (r = file_copy(file, s->fd, "the seal", e)) < 0 || (r = load(s, e)) < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int seal_snapshot(int dir, struct seal **ret, struct error *e)
{
	return seal_load_file(dir, SEAL_NAME, ret, e);
}

int seal_load(int dir, struct seal **ret, struct error *e)
{
	AUTOCLOSE int lock = -1;
	int r = seal_lock(dir, false, &lock, e);
	return r < 0 ? r : seal_load_file(dir, SEAL_NAME, ret, e);
}

/* Is there a seal of this name and UUID? */
static bool has_id(int dir, const char *name, const uuid_t root_id)
{
	AUTOSEAL struct seal *s = NULL;
	uuid_t id;
	return seal_load_file(dir, name, &s, NULL) == 0 && seal_root_id(s, id, NULL) == 0 && !uuid_compare(id, root_id);
}

int seal_recover(int dir, const unsigned char *logged, const uuid_t root_id, struct error *e)
{
	bool by_digest =
		logged && !seal_is(dir, SEAL_NAME, logged) && seal_is(dir, SEAL_NEW, logged);
	/* A restored seal need not be the one that its trail saw last: who made the backup did not change that. */
	if (!by_digest && (has_id(dir, SEAL_NAME, root_id) || !has_id(dir, SEAL_NEW, root_id)))
		return 0;
	return seal_file_commit(dir, true, e);
}

int seal_drop_new(int dir, const uuid_t root_id, struct error *e)
{
	/* It may be all that is left, if the one in force is damaged. */
	if (!seal_is_pending(dir) || !has_id(dir, SEAL_NAME, root_id))
		return 0;
	AUTOCLOSE int fd = openat(dir, SEAL_NEW, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || unlinkat(dir, SEAL_NEW, 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", SEAL_NEW);
	seal_file_wipe(fd);
	return fsync(dir) < 0 ? error_errno(e, ERROR_FAILED, errno, "cannot sync the keystore's directory") : 0;
}

void seal_drop_first(int dir)
{
	AUTOCLOSE int fd = openat(dir, SEAL_NEW, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (unlinkat(dir, SEAL_NEW, 0) == 0 && fd >= 0)
		seal_file_wipe(fd);
}

int seal_recover_first(int dir, const uuid_t root_id, bool *ret_done, struct error *e)
{
	*ret_done = false;
	if (!has_id(dir, SEAL_NEW, root_id))
		return 0;
	int r = seal_file_commit(dir, false, e);
	*ret_done = r == 0;
	return r;
}

int seal_edit(int dir, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *s = NULL;
	AUTOCLOSE int file = -1;
	int r = seal_alloc(dir, &s, e);
	if (r < 0 || (r = seal_file_open(dir, SEAL_NAME, &file, e)) < 0 ||
	    (r = seal_file_new(dir, &s->fd, e)) < 0)
		return r;
	s->working = true;
	if ((r = file_copy(file, s->fd, "the seal", e)) < 0 || (r = load(s, e)) < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static int format(struct seal *s, const struct secret *root, const char *uuid)
{
	const struct crypt_params_luks2 params = {
		.pbkdf = &seal_pbkdf_strong, .sector_size = 512, .label = "kvmcrypt", .subsystem = "kvmcrypt",
	};
	int r = crypt_set_metadata_size(s->cd, SEAL_METADATA_SIZE, SEAL_KEYSLOTS_SIZE);
	if (r == 0)
		r = crypt_set_data_offset(s->cd, SEAL_SIZE / 512);
	if (r == 0)
		r = crypt_format(s->cd, CRYPT_LUKS2, "aes", "xts-plain64", uuid, (const char *)root->data,
				 root->len, (void *)&params);
	return r;
}

int seal_create(int dir, const struct secret *root, const uuid_t root_id, struct seal **ret,
		struct error *e)
{
	AUTOSEAL struct seal *s = NULL;
	char uuid[UUID_STR_LEN];
	int r = seal_alloc(dir, &s, e);
	if (r < 0 || (r = seal_file_new(dir, &s->fd, e)) < 0)
		return r;
	s->working = s->created = true;
	/* All of it now: libcryptsetup would not say that the disk is full. */
	if (fallocate(s->fd, 0, 0, SEAL_SIZE) < 0 && (errno != EOPNOTSUPP || ftruncate(s->fd, SEAL_SIZE) < 0))
		return error_errno(e, ERROR_FAILED, errno, "cannot make the seal, which needs %d KiB of disk",
				   (int)(SEAL_SIZE / 1024));
	if ((r = init(s, e)) < 0)
		return r;
	uuid_unparse_lower(root_id, uuid);
	if ((r = format(s, root, uuid)) < 0)
		return seal_fail(s, r, "make the seal", e);
	*ret = TAKE_PTR(s);
	return 0;
}

int seal_root_id(const struct seal *s, uuid_t ret, struct error *e)
{
	const char *text = crypt_get_uuid(s->cd);
	uuid_t id;
	if (!text || uuid_parse(text, id) < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: it has no UUID");
	uuid_copy(ret, id);
	return 0;
}

int seal_verify(const struct seal *s, const struct secret *root, struct error *e)
{
	if (crypt_volume_key_verify(s->cd, (const char *)root->data, root->len) < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal holds another root key");
	return 0;
}

int seal_reload(struct seal *s, struct error *e)
{
	crypt_free(s->cd);
	s->cd = NULL;
	return load(s, e);
}

int seal_finish(struct seal *s, unsigned char ret_digest[HASH_LEN], struct error *e)
{
	/* Read it as the next command will: a header that does not load must not be committed. */
	int r = seal_reload(s, e);
	if (r < 0 || (r = file_sync(s->fd, "the new seal", e)) < 0 ||
	    (r = file_sync(s->dir, "the keystore's directory", e)) < 0)
		return r;
	return seal_digest(s, ret_digest, e);
}

void seal_supersede(struct seal *s)
{
	s->created = false;
}

void seal_keep(struct seal *s)
{
	s->committed = true;
}

int seal_commit(struct seal *s, struct error *e)
{
	int r = seal_file_commit(s->dir, !s->created, e);
	if (r == 0)
		s->committed = true;
	return r;
}

int seal_read(int dir, void **ret, size_t *ret_len, struct error *e)
{
	AUTOCLOSE int fd = -1;
	AUTOFREE void *data = NULL;
	uint64_t size = 0;
	int r = seal_file_open(dir, SEAL_NAME, &fd, e);
	if (r < 0 || (r = file_size(fd, "the seal", &size, e)) < 0)
		return r;
	if (!(data = malloc(size)))
		return error_oom(e);
	if ((r = file_pread(fd, data, size, 0, "the seal", e)) < 0)
		return r;
	*ret = TAKE_PTR(data);
	*ret_len = size;
	return 0;
}

static int check_size(size_t len, struct error *e)
{
	if (len < 2 * SEAL_METADATA_SIZE || len > SEAL_SIZE_MAX)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: not a file of its size");
	return 0;
}

int seal_parse(const void *data, size_t len, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *s = NULL;
	int r = check_size(len, e);
	if (r < 0 || (r = seal_alloc(-1, &s, e)) < 0 || (r = in_memory(s, e)) < 0 ||
	    (r = file_pwrite(s->fd, data, len, 0, "the seal", e)) < 0 || (r = load(s, e)) < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int seal_from_bytes(int dir, const void *data, size_t len, bool created, struct seal **ret, struct error *e)
{
	AUTOSEAL struct seal *s = NULL;
	int r = check_size(len, e);
	if (r < 0 || (r = seal_alloc(dir, &s, e)) < 0 || (r = seal_file_new(dir, &s->fd, e)) < 0)
		return r;
	s->working = true;
	s->created = created;
	if ((r = file_pwrite(s->fd, data, len, 0, "the seal", e)) < 0 || (r = load(s, e)) < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}
