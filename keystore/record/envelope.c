#include "keystore/record/envelope.h"

#include "keystore/record/fields.h"
#include "keystore/record/kdf.h"

#include <nettle/gcm.h>
#include <string.h>

/*
 * magic[4] version[4] plain_len[4] plain root_id[16] salt[32] sealed_len[4] ciphertext tag[16]
 * Everything before the ciphertext is associated data, byte by byte.
 */
#define MAGIC "KVMR"
#define HEAD_LEN 12
#define SALT_LEN 32
#define TAG_LEN 16
#define MIDDLE_LEN (sizeof(uuid_t) + SALT_LEN + 4)
#define KEY_LEN 32
#define NONCE_LEN 12

struct layout {
	const unsigned char *plain, *root_id, *salt, *cipher, *tag;
	size_t plain_len, cipher_len, aad_len;
	uint32_t version;
};

static int split(const unsigned char *data, size_t len, struct layout *ret, struct error *e)
{
	if (len < HEAD_LEN + MIDDLE_LEN + TAG_LEN || len > ENVELOPE_MAX || memcmp(data, MAGIC, 4))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "not a record");
	uint32_t version = (uint32_t)get_be(data + 4, 4);
	if (version < FIELDS_VERSION_FIRST || version > FIELDS_VERSION)
		return error_set(e, ERROR_FAILED, ENOTSUP,
				 "a newer kvmcrypt wrote this record: it has format version %u, this one knows %u",
				 version, FIELDS_VERSION);
	size_t plain_len = (size_t)get_be(data + 8, 4);
	if (plain_len > len - HEAD_LEN - MIDDLE_LEN - TAG_LEN)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the record is cut off");
	struct layout l = { .plain = data + HEAD_LEN, .plain_len = plain_len, .version = version };
	l.root_id = l.plain + plain_len;
	l.salt = l.root_id + sizeof(uuid_t);
	l.aad_len = HEAD_LEN + plain_len + MIDDLE_LEN;
	l.cipher = data + l.aad_len;
	if (get_be(l.cipher - 4, 4) != len - l.aad_len)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the record has a wrong length");
	l.cipher_len = len - l.aad_len - TAG_LEN;
	l.tag = l.cipher + l.cipher_len;
	*ret = l;
	return 0;
}

/*
 * Key and nonce of one write. The salt is fresh each time, so no key is ever used twice; UUID,
 * revision and root key in the label keep a repeated salt (a broken generator, a cloned machine)
 * from making two records share one.
 */
static int derive(const struct secret *root, const uuid_t root_id, const uuid_t volume,
		  uint64_t revision, const unsigned char *salt, struct secret **ret, struct error *e)
{
	static const char label[] = "kvmcrypt record v1";
	unsigned char info[sizeof(label) - 1 + 2 * sizeof(uuid_t) + 8], *p = info;
	p = mempcpy(p, label, sizeof(label) - 1);
	p = mempcpy(p, root_id, sizeof(uuid_t));
	p = mempcpy(p, volume, sizeof(uuid_t));
	put_be(p, revision, 8);
	return kdf_derive(root, salt, SALT_LEN, info, sizeof(info), KEY_LEN + NONCE_LEN, ret, e);
}

/* AES-256-GCM with the derived key and nonce, fed with the associated data; the state holds the key. */
static int gcm_start(const struct secret *key, const unsigned char *aad, size_t aad_len, struct secret **ret_memory,
		     struct gcm_aes256_ctx **ret, struct error *e)
{
	int r = secret_new(sizeof(struct gcm_aes256_ctx), ret_memory, e);
	if (r < 0)
		return r;
	struct gcm_aes256_ctx *c = (struct gcm_aes256_ctx *)(void *)(*ret_memory)->data;
	gcm_aes256_set_key(c, key->data);
	gcm_aes256_set_iv(c, NONCE_LEN, key->data + KEY_LEN);
	gcm_aes256_update(c, aad_len, aad);
	*ret = c;
	return 0;
}

static int gcm_seal(const struct secret *key, const unsigned char *aad, size_t aad_len, const struct secret *in,
		    unsigned char *out, unsigned char *ret_tag, struct error *e)
{
	AUTOSECRET struct secret *memory = NULL;
	struct gcm_aes256_ctx *c = NULL;
	int r = gcm_start(key, aad, aad_len, &memory, &c, e);
	if (r < 0)
		return r;
	gcm_aes256_encrypt(c, in->len, out, in->data);
	gcm_aes256_digest(c, TAG_LEN, ret_tag);
	secret_wipe_stack();
	return 0;
}

/* ERROR_DAMAGED/EBADMSG when the tag is another; out then holds nothing of use. */
static int gcm_open(const struct secret *key, const struct layout *l, const unsigned char *aad, struct secret *out,
		    const char *path, struct error *e)
{
	AUTOSECRET struct secret *memory = NULL;
	struct gcm_aes256_ctx *c = NULL;
	unsigned char tag[TAG_LEN];
	int r = gcm_start(key, aad, l->aad_len, &memory, &c, e);
	if (r < 0)
		return r;
	gcm_aes256_decrypt(c, l->cipher_len, out->data, l->cipher);
	gcm_aes256_digest(c, TAG_LEN, tag);
	secret_wipe_stack();
	if (!secret_same(tag, l->tag, TAG_LEN))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the record of %s was changed or damaged: its seal does not verify", path);
	return 0;
}

/* The sealed members as bytes; in a locked mapping of exactly the right size. */
static int sealed_bytes(const struct record *r, struct secret **ret, struct error *e)
{
	struct tlv_writer count = { 0 };
	fields_write(&count, FIELDS_SEALED, r);
	AUTOSECRET struct secret *s = NULL;
	int res = secret_new(count.len, &s, e);
	if (res < 0)
		return res;
	struct tlv_writer w = { .buf = s->data };
	fields_write(&w, FIELDS_SEALED, r);
	*ret = TAKE_PTR(s);
	return 0;
}

static bool too_long(const struct secret *s)
{
	return s && s->len > RECORD_SECRET_MAX;
}

int envelope_seal(const struct secret *root, const uuid_t root_id, const struct record *r,
		  uint64_t revision, unsigned char **ret, size_t *ret_len, struct error *e)
{
	const char *problem = fields_problem(r);
	if (problem)
		return error_set(e, ERROR_USAGE, EINVAL, "the record cannot be stored: %s", problem);
	if (too_long(r->passphrase) || too_long(r->pending) || too_long(r->volume_key) ||
	    too_long(r->next_volume_key))
		return error_set(e, ERROR_USAGE, EFBIG, "a key is too long for a record");

	AUTOSECRET struct secret *secret = NULL;
	AUTOSECRET struct secret *key = NULL;
	AUTOSECRET struct secret *salt = NULL;
	int res = sealed_bytes(r, &secret, e);
	if (res < 0 || (res = secret_random(SALT_LEN, &salt, e)) < 0)
		return res;

	/* A shallow copy that differs in the revision alone; nothing in it is owned. */
	struct record as = *r;
	as.revision = revision;
	struct tlv_writer count = { 0 };
	fields_write(&count, FIELDS_PLAIN, &as);
	size_t aad_len = HEAD_LEN + count.len + MIDDLE_LEN, len = aad_len + secret->len + TAG_LEN;
	if (len > ENVELOPE_MAX)
		return error_set(e, ERROR_USAGE, EFBIG, "the record is too large");
	AUTOFREE unsigned char *out = malloc(len);
	if (!out)
		return error_oom(e);

	memcpy(out, MAGIC, 4);
	put_be(out + 4, FIELDS_VERSION, 4);
	put_be(out + 8, count.len, 4);
	struct tlv_writer w = { .buf = out + HEAD_LEN };
	fields_write(&w, FIELDS_PLAIN, &as);
	unsigned char *p = out + HEAD_LEN + count.len;
	p = mempcpy(p, root_id, sizeof(uuid_t));
	p = mempcpy(p, salt->data, SALT_LEN);
	put_be(p, secret->len + TAG_LEN, 4);

	res = derive(root, root_id, r->uuid, revision, salt->data, &key, e);
	if (res < 0)
		return res;
	res = gcm_seal(key, out, aad_len, secret, out + aad_len, out + len - TAG_LEN, e);
	if (res < 0)
		return res;
	*ret = TAKE_PTR(out);
	*ret_len = len;
	return 0;
}

int envelope_parse(const void *data, size_t len, struct record **ret, struct error *e)
{
	struct layout l;
	int res = split(data, len, &l, e);
	if (res < 0)
		return res;
	AUTORECORD struct record *r = calloc(1, sizeof(*r));
	if (!r || !(r->envelope = malloc(len)))
		return error_oom(e);
	memcpy(r->envelope, data, len);
	r->envelope_len = len;
	struct tlv_reader t = { .p = l.plain, .end = l.plain + l.plain_len };
	res = fields_read(&t, FIELDS_PLAIN, l.version, r, e);
	if (res < 0)
		return res == -ENOTSUP ? res : error_prefix(e, "the record is damaged");
	*ret = TAKE_PTR(r);
	return 0;
}

/* Reads the two members that the key depends on from the bytes, not from a changed record. */
static int identity(const struct layout *l, uuid_t volume, uint64_t *revision, struct error *e)
{
	struct tlv_reader t = { .p = l->plain, .end = l->plain + l->plain_len };
	struct tlv uuid, rev;
	if (tlv_next(&t, 0, &uuid) != 1 || uuid.tag != 1 || uuid.len != sizeof(uuid_t) ||
	    tlv_next(&t, 0, &rev) != 1 || rev.tag != 2 || !tlv_u64(&rev, revision))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the record is damaged: no identity");
	memcpy(volume, uuid.value, sizeof(uuid_t));
	return 0;
}

static int open_sealed(const struct secret *root, const uuid_t root_id, const struct record *r,
		       uint32_t *ret_version, struct secret **ret, struct error *e)
{
	struct layout l;
	uuid_t volume = { 0 };
	uint64_t revision = 0;
	AUTOSECRET struct secret *key = NULL;
	AUTOSECRET struct secret *out = NULL;
	if (!r->envelope)
		return error_set(e, ERROR_FAILED, EINVAL, "the record was never stored");
	int res = split(r->envelope, r->envelope_len, &l, e);
	if (res < 0 || (res = identity(&l, volume, &revision, e)) < 0)
		return res;
	if (memcmp(l.root_id, root_id, sizeof(uuid_t)))
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the record is sealed under another root key");
	if (!l.cipher_len)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the record has no sealed part");
	if ((res = derive(root, root_id, volume, revision, l.salt, &key, e)) < 0 ||
	    (res = secret_new(l.cipher_len, &out, e)) < 0)
		return res;
	if ((res = gcm_open(key, &l, r->envelope, out, r->path, e)) < 0)
		return res;
	*ret_version = l.version;
	*ret = TAKE_PTR(out);
	return 0;
}

static void take_secret(struct secret **to, struct secret **from)
{
	secret_free(*to);
	*to = TAKE_PTR(*from);
}

int envelope_open(const struct secret *root, const uuid_t root_id, struct record *r, bool reveal,
		  struct error *e)
{
	AUTOSECRET struct secret *bytes = NULL;
	AUTORECORD struct record *got = calloc(1, sizeof(*got));
	if (!got)
		return error_oom(e);
	uint32_t version = 0;
	int res = open_sealed(root, root_id, r, &version, &bytes, e);
	if (res < 0 || !reveal)
		return res;
	struct tlv_reader t = { .p = bytes->data, .end = bytes->data + bytes->len };
	res = fields_read(&t, FIELDS_SEALED, version, got, e);
	if (res < 0)
		return res == -ENOTSUP ? res : error_prefix(e, "the sealed part of the record is damaged");
	take_secret(&r->passphrase, &got->passphrase);
	take_secret(&r->pending, &got->pending);
	take_secret(&r->volume_key, &got->volume_key);
	take_secret(&r->next_volume_key, &got->next_volume_key);
	take_secret(&r->sealed_unknown, &got->sealed_unknown);
	r->geometry = got->geometry;
	r->revealed = 1;
	return 0;
}

uint32_t record_version(const struct record *r)
{
	return r->envelope_len >= 8 ? (uint32_t)get_be(r->envelope + 4, 4) : 0;
}
