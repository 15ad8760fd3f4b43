/* Is a re-encryption that a LUKS2 header speaks of the one that we began? */
#include "lib/image/recrypt/inplace.h"

#include "base/library/library.h"
#include "lib/image/luks/luks2_json.h"
#include "lib/image/luks/internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* The second version has a digest of all of this with both keys, which libcryptsetup checks. */
#define REQUIREMENT "online-reencrypt"
#define REQUIREMENT_OURS "online-reencrypt-v2"

static int foreign(struct error *e, const char *why)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG,
			 "LUKS2 header: the re-encryption in it is not the one that was begun here: %s", why);
}

/* 1: the only requirement is the one of ours; 0: none. */
static int requirement(json *root, struct error *e)
{
	json *r = luks2_get(luks2_get(root, "config", json_type_object), "requirements", json_type_object);
	json *list = luks2_get(r, "mandatory", json_type_array);
	size_t n = list ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		if (!name || n > 1 || strcmp(name, REQUIREMENT_OURS) != 0)
			return foreign(e, name && !strncmp(name, REQUIREMENT, strlen(REQUIREMENT))
						  ? "it is of another version"
						  : "unknown requirement");
	}
	return n > 0;
}

static bool has_word(json *list, const char *word)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));
		if (text && !strcmp(text, word))
			return true;
	}
	return false;
}

/* ---- digests ---- */

static bool is_digest_of(json *digest, const struct secret *key)
{
	unsigned char want[64], salt[64], got[64];
	uint64_t iterations;
	const EVP_MD *md = EVP_get_digestbyname(luks2_text(digest, "hash"));
	int len = luks2_decode(luks2_text(digest, "digest"), want, sizeof(want));
	int salt_len = luks2_decode(luks2_text(digest, "salt"), salt, sizeof(salt));
	return md && len > 0 && salt_len > 0 && !strcmp(luks2_text(digest, "type"), "pbkdf2") &&
	       luks2_number(digest, "iterations", &iterations) && iterations && iterations <= LUKS_ITERATIONS_MAX &&
	       PKCS5_PBKDF2_HMAC((const char *)key->data, (int)key->len, salt, salt_len, (int)iterations, md, len,
				 got) == 1 &&
	       CRYPTO_memcmp(want, got, (size_t)len) == 0;
}

/* The digests that segment `name` is bound to are counted, and whose they are. */
struct binding {
	int n;
	bool old, fresh;
};

static struct binding binding_of(json *root, const char *name, json *old, json *fresh)
{
	struct binding b = { 0 };
	json *digests = luks2_get(root, "digests", json_type_object);
	if (!digests)
		return b;
	json_object_object_foreach(digests, id, digest) {
		(void)id;
		if (!has_word(luks2_get(digest, "segments", json_type_array), name))
			continue;
		b.n++;
		b.old |= digest == old;
		b.fresh |= digest == fresh;
	}
	return b;
}

static json *find_digest(json *root, const struct secret *key)
{
	json *digests = luks2_get(root, "digests", json_type_object);
	if (!digests)
		return NULL;
	json_object_object_foreach(digests, id, digest) {
		(void)id;
		/* The digest of the metadata is nobody's key, and costs to try. */
		if (is_digest_of(digest, key))
			return digest;
	}
	return NULL;
}

/* ---- segments ---- */

static int check_segment(json *s, const struct inplace_expected *x, struct error *e)
{
	uint64_t sector_size, tweak, offset;
	const char *cipher = luks2_text(s, "encryption");
	if (strcmp(luks2_text(s, "type"), "crypt") != 0)
		return foreign(e, "a segment of it is not encrypted");
	if (luks_cipher_is_null(cipher) || strcmp(cipher, x->cipher) != 0 ||
	    luks2_get(s, "integrity", json_type_object))
		return foreign(e, "a segment of it has another cipher");
	if (!luks2_number(s, "sector_size", &sector_size) || sector_size != x->sector_size ||
	    !luks2_number(s, "iv_tweak", &tweak) || !luks2_number(s, "offset", &offset) || offset < x->data_offset ||
	    tweak != (offset - x->data_offset) / LUKS_SECTOR)
		return foreign(e, "a segment of it has another geometry");
	return 0;
}

static int check_segments(json *root, const struct inplace_expected *x, enum inplace_stage *ret, struct error *e)
{
	json *old = find_digest(root, x->volume_key), *fresh = find_digest(root, x->next_volume_key);
	json *segments = luks2_get(root, "segments", json_type_object);
	int n_data = 0, n_previous = 0, n_final = 0, n_hot = 0, n_fresh = 0;
	if (!old || !fresh || old == fresh || !segments)
		return foreign(e, "it has other volume keys");
	json_object_object_foreach(segments, name, s) {
		json *flags = luks2_get(s, "flags", json_type_array);
		bool previous = has_word(flags, "backup-previous"), final = has_word(flags, "backup-final");
		bool hot = has_word(flags, "in-reencryption");
		size_t n_flags = flags ? json_object_array_length(flags) : 0;
		struct binding b = binding_of(root, name, old, fresh);
		int r = check_segment(s, x, e);
		if (r < 0)
			return r;
		if (n_flags != (size_t)(previous + final + hot) || n_flags > 1)
			return foreign(e, "a segment of it has unknown flags");
		/* The one that was being written may have either key. */
		bool whose = hot      ? b.n == 2 && b.old && b.fresh :
			     previous ? b.n == 1 && b.old :
			     final    ? b.n == 1 && b.fresh :
					b.n == 1 && (b.old || b.fresh);
		if (!whose)
			return foreign(e, "a segment of it has another volume key");
		n_previous += previous;
		n_final += final;
		n_hot += hot;
		n_data += !previous && !final;
		n_fresh += !n_flags && b.fresh;
	}
	if (n_previous != 1 || n_final != 1 || n_hot > 1 || n_data < 1 || n_data > 3)
		return foreign(e, "it has the wrong number of segments");
	*ret = n_data == 1 && n_fresh == 1 ? INPLACE_ALL_DATA : INPLACE_UNDER_WAY;
	return 0;
}

/* ---- what it does ---- */

static int check_keyslots(json *root, struct error *e)
{
	json *keyslots = luks2_get(root, "keyslots", json_type_object);
	int n = 0;
	if (!keyslots)
		return foreign(e, "it has no keyslots");
	json_object_object_foreach(keyslots, name, k) {
		(void)name;
		if (!strcmp(luks2_text(k, "type"), "luks2"))
			continue;
		const char *area = luks2_text(luks2_get(k, "area", json_type_object), "type");
		if (strcmp(luks2_text(k, "type"), "reencrypt") != 0 ||
		    strcmp(luks2_text(k, "mode"), "reencrypt") != 0 ||
		    strcmp(luks2_text(k, "direction"), "forward") != 0 || strcmp(area, "checksum") != 0 || n++)
			return foreign(e, "it does something else than to change the volume key");
	}
	return n == 1 ? 0 : foreign(e, "it has no keyslot of its own");
}

int inplace_check_json(const char *text, size_t len, const struct inplace_expected *x, enum inplace_stage *ret,
		       struct error *e)
{
	AUTOJSON json *root = luks2_parse(text, len);
	if (!root)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "LUKS2 header: metadata cannot be read");
	int r = openssl_load(e);
	if (r < 0 || (r = requirement(root, e)) < 0)
		return r;
	if (r == 0)
		*ret = INPLACE_NONE;
	if (r <= 0)
		return r;
	r = check_keyslots(root, e);
	return r < 0 ? r : check_segments(root, x, ret, e);
}
