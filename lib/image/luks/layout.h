/*
 * Where the bytes of LUKS headers are. "LUKS1 On-Disk Format Specification" 1.2.3, figures 1 (phdr) and 2 (key
 * slot); "LUKS2 On-Disk Format Specification" 1.1.1, 2.1 and 2.2. Offsets and lengths in bytes.
 */
#ifndef LIB_IMAGE_LUKS_LAYOUT_H
#define LIB_IMAGE_LUKS_LAYOUT_H

#define LUKS_MAGIC "LUKS\xba\xbe"
#define LUKS2_MAGIC_SECOND "SKUL\xba\xbe"	/* of the second header copy */
#define LUKS_MAGIC_LEN 6
#define LUKS_SECTOR 512u
#define LUKS_STRIPES 4000u	/* anti-forensic stripes; no tool writes another number */

/* ---- LUKS1 ---- */

#define LUKS1_PHDR_LEN 592u
/* Key material starts no earlier in any header in use: what names the keyslots is written apart from it. */
#define LUKS1_PHDR_PAGE 4096u
#define LUKS1_KEYSLOTS 8
#define LUKS1_REGION_MAX (64u * 1024 * 1024)
/* A header made here ends, and the payload starts, here: 4096 sectors, so that it can become LUKS2 in place. */
#define LUKS1_PAYLOAD_OFFSET (4096u * LUKS_SECTOR)

enum {
	LUKS1_VERSION = 6,
	LUKS1_CIPHER = 8,		/* name, mode and hash, of LUKS1_NAME_LEN each */
	LUKS1_CIPHER_MODE = 40,
	LUKS1_HASH = 72,
	LUKS1_PAYLOAD = 104,		/* in sectors */
	LUKS1_KEY_BYTES = 108,
	LUKS1_DIGEST = 112,
	LUKS1_DIGEST_SALT = 132,
	LUKS1_DIGEST_ITERATIONS = 164,
	LUKS1_UUID = 168,
	LUKS1_SLOTS = 208,

	LUKS1_NAME_LEN = 32,
	LUKS1_CIPHER_LEN = 96,		/* all three names */
	LUKS1_DIGEST_LEN = 20,
	LUKS1_SALT_LEN = 32,
	LUKS1_UUID_LEN = 40,

	/* in a keyslot's entry */
	LUKS1_SLOT_ITERATIONS = 4,
	LUKS1_SLOT_SALT = 8,
	LUKS1_SLOT_KEY_OFFSET = 40,	/* in sectors */
	LUKS1_SLOT_STRIPES = 44,
	LUKS1_SLOT_LEN = 48,
};
#define LUKS1_SLOT(n) (LUKS1_SLOTS + (n) * LUKS1_SLOT_LEN)
#define LUKS1_SLOT_ENABLED 0x00ac71f3u
#define LUKS1_SLOT_DISABLED 0x0000deadu

/* ---- LUKS2 ---- */

#define LUKS2_BIN_LEN 4096u		/* the binary header; the rest of each copy is JSON */
#define LUKS2_HDR_MIN (16u * 1024)
#define LUKS2_HDR_MAX (4u * 1024 * 1024)
#define LUKS2_KEYSLOTS_AREA_MAX (128u * 1024 * 1024)
/* Where the data of a volume that is made here begins, and how long a detached header is. */
#define LUKS2_DATA_OFFSET (4u * 1024 * 1024)

enum {
	LUKS2_VERSION = 6,
	LUKS2_HDR_SIZE = 8,
	LUKS2_HDR_OFFSET = 256,
};

#endif
