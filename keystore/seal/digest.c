/*
 * What a seal says, as one digest: keyslots, tokens, the digest of its key, by number and by name; not the bytes, which
 * libcryptsetup writes anew when it repairs a copy of the header. FORMAT.md says how.
 */
#include "keystore/seal/internal.h"

#include "base/json.h"
#include "keystore/record/tlv.h"
#include "keystore/seal/file.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

/* Each value is its kind, a length or number, and what belongs to it: nothing reads as something else. */
static void add(struct sha256_ctx *sha, char kind, uint64_t n, const void *data, size_t len)
{
	unsigned char head[9] = { (unsigned char)kind };
	put_be(head + 1, n, 8);
	sha256_update(sha, sizeof(head), head);
	if (len)
		sha256_update(sha, len, data);
}

static void add_text(struct sha256_ctx *sha, const char *text, size_t len)
{
	add(sha, 's', len, text, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_value(struct sha256_ctx *sha, json_object *o);

/* In order of their names: libcryptsetup keeps another. */
static int add_members(struct sha256_ctx *sha, json_object *o)
{
	size_t n = (size_t)json_object_object_length(o), i = 0;
	const char **names = calloc(n ? n : 1, sizeof(*names));
	int r = names ? 0 : -ENOMEM;
	if (names) {
		json_object_object_foreach(o, name, value) {
			(void)value;
			names[i++] = name;
		}
		qsort(names, n, sizeof(*names), by_name);
	}
	add(sha, 'o', n, NULL, 0);
	for (i = 0; i < n && r == 0; i++) {
		add_text(sha, names[i], strlen(names[i]));
		r = add_value(sha, json_object_object_get(o, names[i]));
	}
	free(names);
	return r;
}

static int add_value(struct sha256_ctx *sha, json_object *o)
{
	int r = 0;
	switch (json_object_get_type(o)) {
	case json_type_object:
		return add_members(sha, o);
	case json_type_array:
		add(sha, 'a', json_object_array_length(o), NULL, 0);
		for (size_t i = 0; i < json_object_array_length(o) && r == 0; i++)
			r = add_value(sha, json_object_array_get_idx(o, i));
		return r;
	case json_type_string:
		add_text(sha, json_object_get_string(o), (size_t)json_object_get_string_len(o));
		return 0;
	case json_type_int:
		add(sha, 'i', (uint64_t)json_object_get_int64(o), NULL, 0);
		return 0;
	case json_type_boolean:
		add(sha, 'b', (uint64_t)json_object_get_boolean(o), NULL, 0);
		return 0;
	case json_type_null:
		add(sha, 'n', 0, NULL, 0);
		return 0;
	default: /* LUKS2 has no other numbers */
		return -EBADMSG;
	}
}

int seal_digest(const struct seal *s, unsigned char ret[HASH_LEN], struct error *e)
{
	const char *text = NULL;
	struct sha256_ctx sha;
	int r = crypt_dump_json(s->cd, &text, 0);
	AUTOJSON json_object *o = r < 0 || !text ? NULL : json_tokener_parse(text);
	if (!o)
		return seal_fail(s, r < 0 ? r : -ENOMEM, "read what the seal says", e);
	sha256_init(&sha);
	r = add_value(&sha, o);
	if (r == -ENOMEM)
		return error_oom(e);
	if (r < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: a number in it is none");
	sha256_digest(&sha, HASH_LEN, ret);
	return 0;
}

static bool digest_of(int dir, const char *name, unsigned char ret[HASH_LEN])
{
	AUTOSEAL struct seal *s = NULL;
	return seal_load_file(dir, name, &s, NULL) == 0 && seal_digest(s, ret, NULL) == 0;
}

bool seal_is(int dir, const char *name, const unsigned char want[HASH_LEN])
{
	unsigned char digest[HASH_LEN];
	return seal_file_has_hash(dir, name, want) || (digest_of(dir, name, digest) && !memcmp(digest, want, HASH_LEN));
}

int seal_digest_by_hash(int dir, const unsigned char hash[HASH_LEN], unsigned char ret[HASH_LEN], struct error *e)
{
	static const char *const names[] = { SEAL_NAME, SEAL_NEW };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (seal_file_has_hash(dir, names[i], hash) && digest_of(dir, names[i], ret))
			return 0;
	return error_set(e, ERROR_DAMAGED, EBADMSG, SEAL_UNFIT);
}
