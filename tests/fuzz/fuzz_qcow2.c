/* The qcow2 reader on any bytes; what it accepts must keep what the rest relies on. */
#include "lib/image/qcow2/qcow2.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(what) do { if (!(what)) abort(); } while (0)

static bool inside(uint64_t offset, uint64_t len, uint64_t cluster, uint64_t file_size)
{
	return offset >= cluster && offset % cluster == 0 && offset <= file_size &&
	       len <= file_size - offset;
}

static void check_accepted(const struct qcow2_header *h, uint64_t file_size)
{
	uint64_t cluster = UINT64_C(1) << h->cluster_bits;
	CHECK(h->cluster_bits >= 9 && h->cluster_bits <= 21);
	CHECK(h->size <= qcow2_max_size((uint32_t)cluster, h->extended_l2));
	CHECK((h->crypt == QCOW2_CRYPT_LUKS) == (h->luks_length != 0));
	CHECK(!h->luks_length || inside(h->luks_offset, h->luks_length, cluster, file_size));
	CHECK(!h->l1_entries || inside(h->l1_offset, h->l1_entries * UINT64_C(8), cluster, file_size));
	CHECK(strlen(h->backing) < sizeof(h->backing) && h->backing[0] != ':');
	CHECK(strncmp(h->backing, "json:", 5) && strncmp(h->backing, "nbd:", 4));
	CHECK(strlen(h->backing_format) < sizeof(h->backing_format));
	CHECK(!(h->incompatible & ~UINT64_C(0x19)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The bytes as the whole file, and as the start of a larger one. */
	const uint64_t file_sizes[] = { size, size + (UINT64_C(1) << 30), UINT64_MAX };
	for (size_t i = 0; i < 3; i++) {
		struct qcow2_header h;
		struct error e = { 0 };
		if (qcow2_parse(data, size, file_sizes[i], "image", &h, &e) == 0)
			check_accepted(&h, file_sizes[i]);
		else
			CHECK(e.kind != ERROR_NONE && e.message[0]);
	}
	return 0;
}
