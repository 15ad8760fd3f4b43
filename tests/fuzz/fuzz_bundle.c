/*
 * What somebody else's bundle is made of. Input whose first byte is even is the file itself, for a keystore whose root
 * key is zeros; odd: what was in it once it was open, signed or not.
 */
#include "keystore/bundle.h"
#include "keystore/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const struct secret *root, const uint8_t *data, size_t size)
{
	AUTOSECRET struct secret *content = NULL;
	struct record **records = NULL;
	size_t n = 0;
	if (!size || secret_copy(data, size, &content, NULL) < 0)
		return;
	if (bundle_check_sender(root, NULL, &content, NULL) < 0)
		return;
	if (keystore_unpack(content, &records, &n, NULL) == 0) {
		if (!n)
			abort();
		keystore_records_free(records, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct secret *root;
	AUTOSECRET struct secret *content = NULL;
	if (!root && secret_new(ROOT_KEY_LEN, &root, NULL) < 0)
		abort();
	if (!size)
		return 0;
	if (data[0] & 1)
		inside(root, data + 1, size - 1);
	else if (bundle_decrypt(data + 1, size - 1, NULL, root, &content, NULL) == 0)
		inside(root, content->data, content->len);
	return 0;
}
