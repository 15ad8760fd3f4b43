/* The on-disk format is the kernel's: drivers/md/dm-integrity.c, struct superblock (little endian). */
#include "lib/image/mapping/integrity.h"

#include "base/file.h"
#include "base/bytes.h"

#include <errno.h>
#include <unistd.h>

#define MAGIC "integrt"
enum {	/* where its fields are */
	AT_LOG2_INTERLEAVE = 9,
	AT_TAG_SIZE = 10,
	AT_JOURNAL_SECTIONS = 12,
	AT_PROVIDED = 16,
	AT_FLAGS = 24,
	AT_LOG2_BLOCK = 28,
	SUPERBLOCK_LEN = 64,
};
enum {
	FLAG_JOURNAL_MAC = 1,
	FLAG_RECALCULATING = 2,
	FLAG_DIRTY_BITMAP = 4,
	FLAG_FIX_PADDING = 8,
	FLAG_FIX_HMAC = 16,
};
#define SECTOR 512u
#define SUPERBLOCK_SECTORS 8u
#define JOURNAL_BLOCK_SECTORS 8u	/* of entries in each section of the journal */
#define JOURNAL_SECTOR_DATA (SECTOR - 8)
#define PADDING 4096u	/* of the tags of an interleave run; the older format pads to more */
#define OLD_PADDING (128u * 1024)

static int read_superblock(int fd, const char *path, uint64_t offset, unsigned char sb[SUPERBLOCK_LEN],
			   struct error *e)
{
	int r = file_pread(fd, sb, SUPERBLOCK_LEN, offset, path, e);
	if (r < 0)
		return r;
	if (memcmp(sb, MAGIC, sizeof(MAGIC)))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: the superblock of dm-integrity is missing", path);
	if (get_le64(sb + AT_PROVIDED) > INT64_MAX / SECTOR || sb[AT_LOG2_INTERLEAVE] < 3 ||
	    sb[AT_LOG2_INTERLEAVE] > 31 || sb[AT_LOG2_BLOCK] > 3 || !get_le32(sb + AT_JOURNAL_SECTIONS))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: the superblock of dm-integrity is damaged", path);
	return 0;
}

int integrity_size(int fd, const char *path, uint64_t offset, uint64_t *ret, struct error *e)
{
	unsigned char sb[SUPERBLOCK_LEN];
	int r = read_superblock(fd, path, offset, sb, e);
	if (r == 0)
		*ret = get_le64(sb + AT_PROVIDED) * SECTOR;
	return r;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Sectors of superblock and journal: calculate_journal_section_size() of the kernel. */
static uint64_t initial_sectors(const unsigned char *sb)
{
	unsigned block = sb[AT_LOG2_BLOCK];
	uint64_t entry = round_up(8 + (UINT64_C(8) << block) + get_le16(sb + AT_TAG_SIZE), 8);
	uint64_t space = JOURNAL_SECTOR_DATA - (get_le32(sb + AT_FLAGS) & FLAG_JOURNAL_MAC ? 8 : 0);
	uint64_t entries = space / entry * JOURNAL_BLOCK_SECTORS;
	return SUPERBLOCK_SECTORS + get_le32(sb + AT_JOURNAL_SECTIONS) * ((entries << block) + JOURNAL_BLOCK_SECTORS);
}

/* Sectors from the superblock to the end of the last one of the data: calculate_device_limits(). */
static uint64_t sectors_for(const unsigned char *sb, uint64_t size)
{
	unsigned interleave = sb[AT_LOG2_INTERLEAVE];
	uint64_t padding = get_le32(sb + AT_FLAGS) & FLAG_FIX_PADDING ? PADDING : OLD_PADDING;
	uint64_t tags = (uint64_t)get_le16(sb + AT_TAG_SIZE) << (interleave - sb[AT_LOG2_BLOCK]);
	uint64_t areas = ((size / SECTOR - 1) >> interleave) + 1;
	return initial_sectors(sb) + areas * (round_up(tags, padding) / SECTOR) + size / SECTOR;
}

static int set_length(int fd, const char *path, uint64_t length, struct error *e)
{
	if (ftruncate(fd, (off_t)length) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", path);
	return file_sync(fd, path, e);
}

int integrity_fit(int fd, const char *path, uint64_t offset, uint64_t size, struct error *e)
{
	unsigned char sb[SUPERBLOCK_LEN];
	uint64_t now, length;
	const uint32_t known = FLAG_JOURNAL_MAC | FLAG_FIX_PADDING | FLAG_FIX_HMAC;
	int r = read_superblock(fd, path, offset, sb, e);
	if (r == 0)
		r = file_size(fd, path, &now, e);
	if (r < 0)
		return r;
	if (!size || size % INTEGRITY_GRAIN || size > INT64_MAX / 2)
		return error_set(e, ERROR_USAGE, EINVAL, "dm-integrity cannot give %llu bytes",
				 (unsigned long long)size);
	if (get_le32(sb + AT_FLAGS) & ~known)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s: the superblock of dm-integrity says that its tags are being calculated", path);
	length = offset + sectors_for(sb, size) * SECTOR;
	put_le64(sb + AT_PROVIDED, size / SECTOR);
	/* The superblock never tells of more than the file has. */
	if (length > now && (r = set_length(fd, path, length, e)) < 0)
		return r;
	if ((r = file_pwrite(fd, sb, sizeof(sb), offset, path, e)) < 0 || (r = file_sync(fd, path, e)) < 0)
		return r;
	return length < now ? set_length(fd, path, length, e) : 0;
}
