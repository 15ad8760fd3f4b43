/*
 * Changes of a LUKS header on disk, ordered so that a power cut leaves the old or the new state:
 * a keyslot's key material is on disk, and was read back, before the header names it, and the header has forgotten a
 * keyslot before its key material is destroyed.
 *
 * A sector is taken to be written whole or not at all. The entry of LUKS1 keyslot 6 crosses a
 * sector's end; torn, it is a keyslot that opens nothing, and the others are untouched.
 */
#include "lib/image/container_internal.h"

#include "base/file.h"
#include "base/list.h"
#include "base/random.h"
#include "lib/image/file/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

/* In the order of writing, with a sync after each. The copies of a LUKS2 header are two phases:
 * one of them is whole at any time. */
enum phase {
	PHASE_NEW_KEYS,
	PHASE_METADATA,
	PHASE_METADATA_SECOND,
	PHASE_OLD_KEYS,
	N_PHASES,
};

struct run {
	uint64_t start, end;	/* bytes from the start of the LUKS header */
	enum phase phase;
};

struct runs {
	struct run *list;
	size_t n;
};

static void runs_clear(struct runs *r)
{
	free(r->list);
}

static uint64_t metadata_end(const struct luks_info *info)
{
	return info->version == 1 ? LUKS1_PHDR_PAGE : 2 * info->metadata_size;
}

static bool in_active_slot(const struct luks_info *info, uint64_t offset)
{
	for (int i = 0; i < info->n_keyslots; i++) {
		const struct luks_keyslot *k = &info->keyslots[i];
		if (k->active && offset >= k->key_offset && offset < k->key_offset + k->key_length)
			return true;
	}
	return false;
}

static enum phase phase_of(const struct container *c, uint64_t offset)
{
	const struct luks_info *now = luks_info(c->luks);
	if (offset < metadata_end(now))
		return now->version == 2 && offset >= now->metadata_size ? PHASE_METADATA_SECOND
									 : PHASE_METADATA;
	return in_active_slot(&c->disk_info, offset) ? PHASE_OLD_KEYS : PHASE_NEW_KEYS;
}

static int add_sector(struct runs *r, uint64_t start, uint64_t end, enum phase phase, struct error *e)
{
	struct run *last = r->n ? &r->list[r->n - 1] : NULL;
	if (last && last->end == start && last->phase == phase) {
		last->end = end;
		return 0;
	}
	if (!list_grow(r->list, r->n))
		return error_oom(e);
	r->list[r->n++] = (struct run){ start, end, phase };
	return 0;
}

static int collect(const struct container *c, const unsigned char *bytes, struct runs *ret,
		   struct error *e)
{
	uint64_t len = c->info.header_length;
	for (uint64_t at = 0; at < len; at += SECTOR) {
		uint64_t end = len - at < SECTOR ? len : at + SECTOR;
		if (!memcmp(bytes + at, c->on_disk + at, end - at))
			continue;
		enum phase phase = phase_of(c, at);
		/* No order is safe for key material that one slot loses and another one gets. */
		if (phase == PHASE_OLD_KEYS && in_active_slot(luks_info(c->luks), at))
			return error_set(e, ERROR_FAILED, EINVAL,
					 "%s: a keyslot was replaced in place; write back in between",
					 c->path);
		int r = add_sector(ret, at, end, phase, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_phase(const struct container *c, const unsigned char *bytes, const struct runs *runs,
		       enum phase phase, struct error *e)
{
	bool written = false;
	for (size_t i = 0; i < runs->n; i++) {
		const struct run *run = &runs->list[i];
		if (run->phase != phase)
			continue;
		int r = file_pwrite(c->fd, bytes + run->start, run->end - run->start,
				    c->info.header_offset + run->start, c->path, e);
		if (r < 0)
			return r;
		written = true;
	}
	return written ? file_sync(c->fd, c->path, e) : 0;
}

/* Reads a part of the header back: from the device, where the page cache lets go of it. */
static int reread(const struct container *c, unsigned char *buf, uint64_t start, uint64_t end,
		  struct error *e)
{
	uint64_t offset = c->info.header_offset + start;
	posix_fadvise(c->fd, (off_t)offset, (off_t)(end - start), POSIX_FADV_DONTNEED);
	return file_pread(c->fd, buf, end - start, offset, c->path, e);
}

static int verify_phase(const struct container *c, const unsigned char *bytes, const struct runs *runs,
			enum phase phase, unsigned char *buf, struct error *e)
{
	for (size_t i = 0; i < runs->n; i++) {
		const struct run *run = &runs->list[i];
		if (run->phase != phase)
			continue;
		int r = reread(c, buf, run->start, run->end, e);
		if (r < 0)
			return r;
		if (memcmp(buf, bytes + run->start, run->end - run->start))
			return error_set(e, ERROR_FAILED, EIO,
					 "%s: the LUKS header reads back differently", c->path);
	}
	return 0;
}

static int check_writable(const struct container *c, struct error *e)
{
	if (c->mode != CONTAINER_CHANGE)
		return error_set(e, ERROR_FAILED, EBADF, "%s was opened for reading only", c->path);
	return 0;
}

/* cryptsetup knows nothing of QEMU's locks, so the header may have changed under ours. */
static int check_unchanged(const struct container *c, unsigned char *buf, struct error *e)
{
	int r = file_pread(c->fd, buf, c->info.header_length, c->info.header_offset, c->path, e);
	if (r == 0 && memcmp(buf, c->on_disk, c->info.header_length))
		return error_set(e, ERROR_BUSY, EBUSY,
				 "%s: another program changed the LUKS header meanwhile", c->path);
	return r;
}

static int write_ordered(struct container *c, const unsigned char *bytes, const struct runs *runs,
			 unsigned char *buf, struct error *e)
{
	int r = 0;
	for (int phase = 0; r == 0 && phase < N_PHASES; phase++)
		if ((r = write_phase(c, bytes, runs, (enum phase)phase, e)) == 0)
			r = verify_phase(c, bytes, runs, (enum phase)phase, buf, e);
	return r;
}

int container_write_back(struct container *c, struct error *e)
{
	CLEANUP(runs_clear) struct runs runs = { 0 };
	const unsigned char *bytes = luks_bytes(c->luks);
	int r;
	AUTOFREE unsigned char *buf = malloc(c->info.header_length);
	if (!buf)
		return error_oom(e);
	if ((r = check_writable(c, e)) < 0 || (r = collect(c, bytes, &runs, e)) < 0)
		return r;
	if (!runs.n)
		return 0;
	if ((r = check_unchanged(c, buf, e)) < 0)
		return r;
	r = write_ordered(c, bytes, &runs, buf, e);
	/* After an error what is on disk is whatever was written: a second try starts from there. */
	if (r < 0) {
		reread(c, c->on_disk, 0, c->info.header_length, NULL);
		return r;
	}
	memcpy(c->on_disk, bytes, luks_len(c->luks));
	c->disk_info = *luks_info(c->luks);
	return 0;
}

int container_add_keyslot(struct container *c, const struct secret *volume_key, const struct secret *passphrase,
			  enum luks_kdf_cost cost, struct error *e)
{
	int slot, r = luks_add_keyslot(c->luks, -1, volume_key, passphrase, cost, &slot, e);
	return r < 0 ? r : container_write_back(c, e);
}

int container_remove_keyslot(struct container *c, int slot, struct error *e)
{
	int r = luks_remove_keyslot(c->luks, slot, e);
	return r < 0 ? r : container_write_back(c, e);
}

int container_remove(struct container *c, struct error *e)
{
	return image_remove(c->fd, c->path, e);
}

/*
 * First all key material, with the header still there: interrupted, a second run finds the header
 * again. Then the header. One pass is what the disk's own interface can do; copies that a file
 * system, an SSD or a snapshot keeps are out of reach of any number of passes.
 */
int container_erase(struct container *c, struct error *e)
{
	uint64_t len = c->info.header_length;
	uint64_t split = metadata_end(&c->disk_info);
	int r;
	AUTOFREE unsigned char *buf = malloc(len);
	AUTOFREE unsigned char *noise = malloc(len);
	if (!buf || !noise)
		return error_oom(e);
	if ((r = check_writable(c, e)) < 0 || (r = random_bytes(noise + split, len - split, e)) < 0)
		return r;
	memset(noise, 0, split);
	uint64_t offset = c->info.header_offset;
	if ((r = file_pwrite(c->fd, noise + split, len - split, offset + split, c->path, e)) < 0 ||
	    (r = file_sync(c->fd, c->path, e)) < 0 ||
	    (r = file_pwrite(c->fd, noise, split, offset, c->path, e)) < 0 ||
	    (r = file_sync(c->fd, c->path, e)) < 0 || (r = reread(c, buf, 0, len, e)) < 0)
		return r;
	if (memcmp(buf, noise, len) || luks_version_of(buf, len))
		return error_set(e, ERROR_FAILED, EIO, "%s: the LUKS header is still readable", c->path);
	/* What is left in memory must not find its way back. */
	c->mode = CONTAINER_LOOK;
	return 0;
}
