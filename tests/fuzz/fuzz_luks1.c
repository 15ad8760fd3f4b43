/* The LUKS1 check on any bytes, and libcryptsetup on what it lets through. */
#include "lib/image/luks/luks.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(what) do { if (!(what)) abort(); } while (0)
#define REGION (2u * 1024 * 1024)

static void check_accepted(const struct luks_info *info, uint64_t header_len, uint64_t data_size)
{
	CHECK(info->version == 1 && info->n_keyslots == 8);
	CHECK(info->key_bits >= 128 && info->key_bits <= 512);
	CHECK(!data_size || info->data_offset <= data_size);
	CHECK(!strcasestr(info->cipher, "null") && strchr(info->cipher, '-'));
	for (int i = 0; i < 8; i++) {
		const struct luks_keyslot *k = &info->keyslots[i];
		CHECK(k->key_offset >= 4096 && k->key_offset + k->key_length <= header_len);
		CHECK(!info->data_offset || k->key_offset + k->key_length <= info->data_offset);
		CHECK(k->iterations <= 100000000);
		for (int j = 0; j < i; j++)
			CHECK(k->key_offset >= info->keyslots[j].key_offset + info->keyslots[j].key_length ||
			      info->keyslots[j].key_offset >= k->key_offset + k->key_length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char region[REGION];
	const uint64_t data_sizes[] = { 0, size, REGION, UINT64_MAX };
	struct luks_info info;
	struct error e = { 0 };
	for (size_t i = 0; i < 4; i++) {
		if (luks1_check(data, size, size, data_sizes[i], &info, &e) == 0)
			check_accepted(&info, size, data_sizes[i]);
		if (luks1_check(data, size, REGION, data_sizes[i], &info, &e) == 0)
			check_accepted(&info, REGION, data_sizes[i]);
	}
	/* As the start of a region of zeros it can be a whole header. */
	size_t n = size < 4096 ? size : 4096;
	AUTOLUKS struct luks *l = NULL;
	memset(region, 0, 4096);
	memcpy(region, data, n);
	if (luks1_check(region, REGION, REGION, 0, &info, &e) == 0 &&
	    luks_load(region, REGION, 0, &l, &e) == 0)
		CHECK(luks_info(l)->version == 1);
	return 0;
}
