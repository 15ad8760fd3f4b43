/*
 * The envelope parser. Input whose first byte is even is an envelope as the store would give it:
 * parsed, and what parses has to come out of the writer again as it went in. Odd: the rest is what
 * a seal that verified would have held, so that the parser behind it is reached too.
 */
#include "keystore/record/envelope.h"
#include "keystore/record/fields.h"
#include "keystore/record/kdf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char *written(const struct record *r, enum fields_part part, size_t *ret_len)
{
	struct tlv_writer count = { 0 };
	fields_write(&count, part, r);
	unsigned char *bytes = malloc(count.len + 1);
	struct tlv_writer w = { .buf = bytes };
	fields_write(&w, part, r);
	*ret_len = count.len;
	return bytes;
}

/* Canonical: there is one way to write a record, and only that is read. */
static void must_be(const struct record *r, enum fields_part part, const unsigned char *p, size_t len)
{
	size_t n;
	unsigned char *bytes = written(r, part, &n);
	if (n != len || memcmp(bytes, p, len))
		abort();
	free(bytes);
}

static void plain(const uint8_t *data, size_t size, const struct secret *root, const uuid_t root_id)
{
	AUTORECORD struct record *r = NULL;
	if (envelope_parse(data, size, &r, NULL) < 0)
		return;
	must_be(r, FIELDS_PLAIN, data + 12, (size_t)get_be(data + 8, 4));
	if (envelope_open(root, root_id, r, true, NULL) == 0)
		abort(); /* nobody sealed this */
}

static void sealed(const uint8_t *data, size_t size)
{
	AUTORECORD struct record *r = NULL;
	if (record_new(&r, NULL) < 0)
		return;
	struct tlv_reader t = { .p = data, .end = data + size };
	if (fields_read(&t, FIELDS_SEALED, FIELDS_VERSION, r, NULL) == 0)
		must_be(r, FIELDS_SEALED, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct secret *root;
	static uuid_t root_id;
	if (!root && (secret_new(ROOT_KEY_LEN, &root, NULL) < 0 || kdf_root_id(root, root_id, NULL) < 0))
		abort();
	if (!size)
		return 0;
	if (data[0] & 1)
		sealed(data + 1, size - 1);
	else
		plain(data + 1, size - 1, root, root_id);
	return 0;
}
