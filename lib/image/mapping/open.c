/* Making and removing mappings, by libcryptsetup on a header in memory. */
#include "lib/image/luks/internal.h"
#include "lib/image/mapping/loop.h"
#include "lib/image/mapping/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define ZERO_BLOCK (1u << 20)
#define INTEGRITY_PART "_dif"	/* what libcryptsetup calls the layer below a mapping, behind the mapping's name */

/* A context of its own: l's is used for changing the header. */
static int start(struct crypt_session *s, const struct luks *l, const char *data_path, struct error *e)
{
	char header[64];
	luks_path(l, header, sizeof(header));
	int r = crypt_session_open(s, header, data_path, e);
	if (r < 0)
		return r;
	r = crypt_load(s->cd, l->info.version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, NULL);
	return r < 0 ? crypt_session_failed(s, r, e, "cannot use the header of %s", data_path) : 0;
}

static uint32_t crypt_flags(unsigned flags)
{
	static const struct {
		unsigned ours;
		uint32_t theirs;
	} table[] = {
		{ MAPPING_READONLY, CRYPT_ACTIVATE_READONLY },
		{ MAPPING_DISCARD, CRYPT_ACTIVATE_ALLOW_DISCARDS },
		{ MAPPING_NO_READ_WORKQUEUE, CRYPT_ACTIVATE_NO_READ_WORKQUEUE },
		{ MAPPING_NO_WRITE_WORKQUEUE, CRYPT_ACTIVATE_NO_WRITE_WORKQUEUE },
		{ MAPPING_NO_JOURNAL, CRYPT_ACTIVATE_NO_JOURNAL },
	};
	uint32_t result = 0;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (flags & table[i].ours)
			result |= table[i].theirs;
	return result;
}

int mapping_open(const struct luks *l, const char *data_path, const char *name, const struct secret *volume_key,
		 unsigned flags, struct error *e)
{
	AUTOCLOSE int loop = -1;
	CLEANUP(crypt_session_clear) struct crypt_session s = { 0 };
	char device[LOOP_PATH_LEN];
	const char *path = data_path;
	struct stat st;
	int r = mapping_available(e);
	if (r == 0 && stat(data_path, &st) < 0)
		r = error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", data_path);
	/* A loop device of ours, not libcryptsetup's: it keeps QEMU off the file. */
	if (r == 0 && S_ISREG(st.st_mode)) {
		r = loop_attach(data_path, flags & MAPPING_READONLY, l->info.sector_size, device, &loop, e);
		data_path = device;
	}
	if (r == 0)
		r = start(&s, l, data_path, e);
	if (r < 0)
		return r;
	/* PRIVATE: udev makes the node and lets no scanner (blkid, LVM, MD) see what is in it. */
	uint32_t how = crypt_flags(flags) | CRYPT_ACTIVATE_PRIVATE;
	/* libcryptsetup uses the keyring where it can; with the flag it fails where it cannot. */
	if (l->info.version == 2)
		how |= CRYPT_ACTIVATE_KEYRING_KEY;
	s.log[0] = 0;
	r = crypt_activate_by_volume_key(s.cd, name, (const char *)volume_key->data, volume_key->len, how);
	if (r == -EPERM && !s.log[0])
		return error_set(e, ERROR_BAD_KEY, EPERM, "the volume key is not the one of the header");
	return r < 0 ? crypt_session_failed(&s, r, e, "cannot map %s", path) : 0;
}

/*
 * By the kernel, once nobody has it open. libcryptsetup 2.7 wants the header for that, which may be gone or elsewhere
 * by now.
 */
static int close_later(const char *name, struct error *e)
{
	char below[MAPPING_NAME_LEN + sizeof(INTEGRITY_PART)];
	snprintf(below, sizeof(below), "%.*s" INTEGRITY_PART, MAPPING_NAME_LEN - 1, name);
	bool integrity = mapping_name_taken(below);
	int r = mapping_remove_later(name, e);
	return r == 0 && integrity ? mapping_remove_later(below, e) : r;
}

int mapping_close(const char *name, bool deferred, struct error *e)
{
	CLEANUP(crypt_session_clear) struct crypt_session s = { 0 };
	int r = mapping_available(e);
	if (r < 0 || deferred)
		return r < 0 ? r : close_later(name, e);
	/* No device: what there is to know of a mapping, its dm-integrity layer too, the kernel knows. */
	r = crypt_session_by_name(&s, NULL);
	if (r >= 0)
		r = crypt_deactivate_by_name(s.cd, name, 0);
	return r < 0 ? crypt_session_failed(&s, r, e, "cannot close %s", name) : 0;
}

/* The loop device of a mapping takes over the new size of its file; another device is as it is. */
static void refresh_loop(struct crypt_device *cd)
{
	const char *device = crypt_get_device_name(cd);
	AUTOCLOSE int fd = device && !strncmp(device, "/dev/loop", 9) ? open(device, O_RDWR | O_CLOEXEC) : -1;
	if (fd >= 0)
		ioctl(fd, LOOP_SET_CAPACITY, 0);
}

/* The new table names the key in the keyring, where it has to be once more. */
static int offer_key(struct crypt_session *s, const char *name, const struct secret *volume_key, struct error *e)
{
	if (strcmp(crypt_get_type(s->cd), CRYPT_LUKS2))
		return 0;
	int r = crypt_activate_by_volume_key(s->cd, NULL, (const char *)volume_key->data, volume_key->len,
					     CRYPT_ACTIVATE_KEYRING_KEY);
	return r < 0 ? crypt_session_failed(s, r, e, "cannot resize %s", name) : 0;
}

int mapping_resize(const char *name, const struct secret *volume_key, uint64_t size, struct error *e)
{
	CLEANUP(crypt_session_clear) struct crypt_session s = { 0 };
	int r = crypt_session_by_name(&s, name);
	if (r < 0)
		return crypt_session_failed(&s, r, e, "cannot resize %s", name);
	refresh_loop(s.cd);
	r = offer_key(&s, name, volume_key, e);
	return r < 0 ? r : mapping_set_length(name, size, e);
}

int mapping_store_flags(struct luks *l, unsigned flags, struct error *e)
{
	return luks_set_flags(l, crypt_flags(flags & ~(unsigned)(MAPPING_READONLY | MAPPING_NO_JOURNAL)), e);
}

int mapping_zero(const char *name, uint64_t from, const struct progress *progress, struct error *e)
{
	char path[32 + MAPPING_NAME_LEN];
	uint64_t size;
	AUTOFREE void *zeros = NULL;
	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	AUTOCLOSE int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot open %s", path);
	if (posix_memalign(&zeros, 4096, ZERO_BLOCK))
		return error_oom(e);
	memset(zeros, 0, ZERO_BLOCK);
	for (uint64_t at = from; at < size;) {
		size_t len = size - at < ZERO_BLOCK ? (size_t)(size - at) : ZERO_BLOCK;
		ssize_t n = pwrite(fd, zeros, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(e, ERROR_FAILED, n < 0 ? errno : EIO, "cannot write to %s", path);
		at += (uint64_t)n;
		if (progress_report(progress, "writing", at - from, size - from))
			return error_set(e, ERROR_FAILED, ECANCELED, "stopped");
	}
	return fsync(fd) < 0 ? error_errno(e, ERROR_FAILED, errno, "cannot sync %s", path) : 0;
}
