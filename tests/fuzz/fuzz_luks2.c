/* Our look at LUKS2 metadata, before and after libcryptsetup's, on any JSON. */
#include "lib/image/luks/internal.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(what) do { if (!(what)) abort(); } while (0)
#define HEADER (16u * 1024 * 1024)

static void check_accepted(const struct luks_info *info)
{
	CHECK(info->version == 2 && info->cipher[0] && !strcasestr(info->cipher, "null"));
	CHECK(2 * info->metadata_size + info->keyslots_size <= HEADER);
	CHECK(info->sector_size >= 512 && info->sector_size <= 4096);
	CHECK(info->digest_len && info->digest_len <= sizeof(info->digest));
	for (int i = 0; i < info->n_keyslots; i++) {
		const struct luks_keyslot *k = &info->keyslots[i];
		CHECK(!k->active || (k->key_offset <= HEADER && k->key_length <= HEADER - k->key_offset));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct luks_info info = { 0 };
	struct error e = { 0 };
	uint64_t region;
	/* The JSON in a container: binary header of the least size, magic, version 2, hdr_size. */
	static unsigned char bytes[LUKS2_HDR_MIN];
	const uint64_t limit = 2 * (uint64_t)LUKS2_HDR_MAX + LUKS2_KEYSLOTS_AREA_MAX;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, LUKS_MAGIC "\0\2\0\0\0\0\0\0\x40", 16);
	memcpy(bytes + LUKS2_BIN_LEN, data, size < 12288 ? size : 12288);
	if (luks_region_of(bytes, sizeof(bytes), &region, &e) == 0)
		CHECK(region >= 2 * LUKS2_HDR_MIN && region <= limit);
	if (luks_region_of(data, size, &region, &e) == 0)
		CHECK(region <= limit);
	AUTOFREE char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (luks2_check_json(text, HEADER, 0, &info, &e) == 0)
		check_accepted(&info);
	return 0;
}
