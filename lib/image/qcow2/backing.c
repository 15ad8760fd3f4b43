/*
 * Another name for a qcow2's backing file, in a header that else stays as it is: `qemu-img rebase -u` needs the key of
 * every image in the chain for that. Format: QEMU docs/interop/qcow2.txt, "Header" and "Header extensions".
 */
#include "lib/image/qcow2/qcow2.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "lib/image/file/plain_path.h"
#include "lib/image/qcow2/format.h"

#include <errno.h>
#include <string.h>

struct room {
	uint64_t old_offset, old_len;
	uint64_t free_from;	/* behind the header extensions; 0: only the old name ends them */
	uint64_t end;		/* of the header's cluster, or of the file */
};

/* The extensions, which were checked, up to the one that says it is the last. */
static uint64_t end_of_extensions(const unsigned char *h, const struct room *room)
{
	uint64_t at = get_be32(h + HDR_VERSION) == 2 ? HDR_LEN_V2 : get_be32(h + HDR_LENGTH);
	uint64_t end = room->old_offset ? room->old_offset : room->end;
	while (at + EXT_HEAD_LEN <= end) {
		uint64_t len = get_be32(h + at + 4);
		bool last = get_be32(h + at) == EXT_END;
		at += EXT_HEAD_LEN;
		if (last)
			return at;
		at += (len + 7) / 8 * 8;
	}
	return 0;
}

/* Where it does not overlap the old name, if it can be: then no power cut leaves a part of each. */
static uint64_t find_place(const struct room *room, uint64_t len)
{
	uint64_t behind = (room->old_offset + room->old_len + 7) / 8 * 8;
	if (!room->free_from)
		return room->old_offset && room->old_offset + len <= room->end ? room->old_offset : 0;
	if (!room->old_offset || room->free_from + len <= room->old_offset)
		return room->free_from + len <= room->end ? room->free_from : 0;
	if (behind + len <= room->end)
		return behind;
	return room->free_from + len <= room->end ? room->free_from : 0;
}

static int write_name(int fd, unsigned char *h, const struct room *room, uint64_t at, const char *name,
		      const char *what, struct error *e)
{
	size_t len = strlen(name);
	bool apart = at + len <= room->old_offset || at >= room->old_offset + room->old_len;
	memcpy(h + at, name, len);
	put_be64(h + HDR_BACKING_OFFSET, at);
	put_be32(h + HDR_BACKING_SIZE, (uint32_t)len);
	/* In one piece where the two names share bytes. */
	if (!apart) {
		int r = file_pwrite(fd, h, (size_t)(at + len), 0, what, e);
		return r < 0 ? r : file_sync(fd, what, e);
	}
	int r = file_pwrite(fd, h + at, len, at, what, e);
	if (r == 0)
		r = file_sync(fd, what, e);
	if (r == 0)
		r = file_pwrite(fd, h + HDR_BACKING_OFFSET, HDR_CLUSTER_BITS - HDR_BACKING_OFFSET, HDR_BACKING_OFFSET,
				what, e);
	return r < 0 ? r : file_sync(fd, what, e);
}

int qcow2_set_backing(int fd, const char *what, const char *name, bool dry_run, struct error *e)
{
	struct qcow2_header header;
	struct room room = { 0 };
	uint64_t size;
	const char *problem = plain_path_problem(name);
	int r = file_size(fd, what, &size, e);
	if (r == 0)
		r = qcow2_read(fd, size, what, &header, e);
	if (r < 0)
		return r;
	if (problem)
		return error_set(e, ERROR_USAGE, EINVAL, "the path '%s' %s", name, problem);
	room.end = UINT64_C(1) << header.cluster_bits;
	room.end = room.end < size ? room.end : size;
	AUTOFREE unsigned char *h = malloc((size_t)room.end);
	if (!h)
		return error_oom(e);
	if ((r = file_pread(fd, h, (size_t)room.end, 0, what, e)) < 0)
		return r;
	room.old_offset = get_be64(h + HDR_BACKING_OFFSET);
	room.old_len = room.old_offset ? get_be32(h + HDR_BACKING_SIZE) : 0;
	room.free_from = end_of_extensions(h, &room);
	uint64_t at = strlen(name) > BACKING_NAME_MAX ? 0 : find_place(&room, strlen(name));
	if (!at)
		return error_set(e, ERROR_FAILED, ENAMETOOLONG,
				 "%s has no room in its header for '%s' as the name of its backing file", what, name);
	return dry_run || !strcmp(name, header.backing) ? 0 : write_name(fd, h, &room, at, name, what, e);
}
