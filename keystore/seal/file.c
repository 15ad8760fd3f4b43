#include "keystore/seal/file.h"

#include "base/file.h"
#include "base/lock.h"
#include "keystore/seal/seal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_SECONDS 60
#define CHUNK 65536

int seal_lock(int dir, bool exclusive, int *ret_fd, struct error *e)
{
	/* An own open file description: two locks of one process must exclude each other too. */
	AUTOCLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot open the keystore's directory");
	int r = lock_file(fd, exclusive ? LOCK_EX : LOCK_SH, LOCK_SECONDS, "another process changes the seal");
	if (r == -EBUSY)
		return error_set(e, ERROR_BUSY, EBUSY, "another process has been changing the seal for %d seconds",
				 LOCK_SECONDS);
	if (r < 0)
		return error_errno(e, ERROR_FAILED, -r, "cannot lock the keystore's directory");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int seal_file_open(int dir, const char *name, int *ret_fd, struct error *e)
{
	struct stat st;
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open the seal");
	if (fstat(fd, &st) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot stat the seal");
	if (!S_ISREG(st.st_mode) || st.st_size < 2 * SEAL_METADATA_SIZE || st.st_size > SEAL_SIZE_MAX)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: not a file of its size");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int seal_file_hash(int fd, unsigned char ret[HASH_LEN], struct error *e)
{
	struct sha256_ctx ctx;
	AUTOFREE unsigned char *buf = malloc(CHUNK);
	uint64_t size, done = 0;
	int r = file_size(fd, "the seal", &size, e);
	if (r < 0)
		return r;
	if (!buf)
		return error_oom(e);
	sha256_init(&ctx);
	while (done < size) {
		size_t n = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		if ((r = file_pread(fd, buf, n, done, "the seal", e)) < 0)
			return r;
		sha256_update(&ctx, n, buf);
		done += n;
	}
	sha256_digest(&ctx, HASH_LEN, ret);
	return 0;
}

int seal_file_new(int dir, int *ret_fd, struct error *e)
{
	AUTOCLOSE int old = openat(dir, SEAL_NEW, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (unlinkat(dir, SEAL_NEW, 0) < 0 && errno != ENOENT)
		return error_errno(e, ERROR_FAILED, errno, "cannot remove an old " SEAL_NEW);
	if (old >= 0)
		seal_file_wipe(old);
	int fd = openat(dir, SEAL_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot create " SEAL_NEW);
	*ret_fd = fd;
	return 0;
}

/*
 * The old header holds the keyslots as they were: a removed way to unseal would live on in the
 * freed blocks. Best effort, as on any disk that may have written the blocks elsewhere; a hard
 * link (somebody's backup) is left alone.
 */
void seal_file_wipe(int fd)
{
	static const unsigned char zero[CHUNK];
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_nlink)
		return;
	for (off_t done = 0; done < st.st_size; done += CHUNK) {
		size_t n = st.st_size - done < CHUNK ? (size_t)(st.st_size - done) : CHUNK;
		if (file_pwrite(fd, zero, n, (uint64_t)done, SEAL_NAME, NULL) < 0)
			return;
	}
	file_sync(fd, SEAL_NAME, NULL);
}

int seal_file_commit(int dir, bool replace, struct error *e)
{
	AUTOCLOSE int old = replace ? openat(dir, SEAL_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (renameat2(dir, SEAL_NEW, dir, SEAL_NAME, replace ? 0 : RENAME_NOREPLACE) < 0) {
		/* A file system without RENAME_NOREPLACE; the lock keeps other creators away. */
		if (replace || (errno != EINVAL && errno != ENOSYS) ||
		    faccessat(dir, SEAL_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		    renameat(dir, SEAL_NEW, dir, SEAL_NAME) < 0)
			return error_errno(e, error_kind_of_errno(errno), errno, "cannot put the seal in place");
	}
	if (fsync(dir) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot sync the keystore's directory");
	if (old >= 0)
		seal_file_wipe(old);
	return 0;
}

bool seal_is_pending(int dir)
{
	return faccessat(dir, SEAL_NEW, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool seal_file_has_hash(int dir, const char *name, const unsigned char want[HASH_LEN])
{
	unsigned char hash[HASH_LEN];
	AUTOCLOSE int fd = -1;
	return seal_file_open(dir, name, &fd, NULL) == 0 && seal_file_hash(fd, hash, NULL) == 0 &&
	       !memcmp(hash, want, HASH_LEN);
}
