#include "keystore/record/fields.h"

#include <assert.h>
#include <string.h>

/* PATH: absolute; NAME: one that a person or libvirt gave. Both at most as long as fields.h says, neither empty. */
enum kind { U32, U64, UUID, PATH, NAME, CIPHER, DIGEST, DOMAINS, WORK, SECRET, SALT };

struct field {
	uint16_t tag;
	enum kind kind;
	bool optional;
	size_t offset;
};

#define TAG_DOMAINS 20 /* the one that may be there more than once */
#define AT(member) offsetof(struct record, member)
static_assert(sizeof(enum record_state) == 4 && sizeof(enum record_format) == 4 && sizeof(enum record_role) == 4,
	      "enums are read and written as U32");

/*
 * FORMAT.md lists both tables. A tag is never reused. A new one is below FIELDS_OPTIONAL if who does not know it could
 * do harm, and then a new version.
 */
static const struct field plain[] = {
	{ 1, UUID, false, AT(uuid) },
	{ 2, U64, false, AT(revision) },
	{ 3, U64, false, AT(generation) },
	{ 4, U32, false, AT(state) },
	{ 5, PATH, false, AT(path) },
	{ 6, PATH, true, AT(header_path) },
	{ 7, PATH, true, AT(beside) },
	{ 8, U32, false, AT(format) },
	{ 9, U64, false, AT(size) },
	{ 10, U32, false, AT(luks_version) },
	{ 11, UUID, false, AT(luks_uuid) },
	{ 12, DIGEST, true, AT(digest) },
	{ 13, CIPHER, true, AT(cipher) },
	{ 14, U32, false, AT(key_bits) },
	{ 15, U32, false, AT(sector_size) },
	{ 16, U64, false, AT(created) },
	{ 17, U64, false, AT(rotated) },
	{ 18, PATH, true, AT(backing) },
	{ 19, NAME, true, AT(integrity) },
	{ TAG_DOMAINS, DOMAINS, true, AT(domains) },
	{ 21, U32, true, AT(recovery_slots) },
	{ 22, U32, true, AT(role) },
	{ 23, UUID, true, AT(parent) },
	{ 24, NAME, true, AT(parent_format) },
	{ 25, NAME, true, AT(snapshot) },
	{ 26, UUID, true, AT(backup.of) },
	{ 27, UUID, true, AT(backup.previous) },
	{ 28, NAME, true, AT(backup.checkpoint) },
	{ 29, NAME, true, AT(backup.digest) },
	{ 30, UUID, true, AT(cloned_from) },
	{ 31, NAME, true, AT(placement) },
	{ 32, U64, true, AT(fence) },
	{ 33, NAME, true, AT(moved) },
	{ 34, NAME, true, AT(hash) },
	{ 35, U64, true, AT(iv_tweak) },
	{ 36, U64, true, AT(data_size) },
	{ 37, WORK, true, AT(work) },
};

static const struct field sealed[] = {
	{ 1, SECRET, true, AT(passphrase) },
	{ 2, SECRET, true, AT(pending) },
	{ 3, SECRET, true, AT(volume_key) },
	{ 4, U64, false, AT(geometry.header_offset) },
	{ 5, U64, false, AT(geometry.header_length) },
	{ 6, U64, false, AT(geometry.data_offset) },
	{ 7, U64, false, AT(geometry.metadata_size) },
	{ 8, U64, false, AT(geometry.keyslots_size) },
	{ 9, U32, false, AT(geometry.digest_iterations) },
	{ 10, SALT, false, AT(geometry.digest_salt) },
	{ 11, SECRET, true, AT(next_volume_key) },
};

static const struct field *table_of(enum fields_part part, size_t *n)
{
	*n = part == FIELDS_PLAIN ? ARRAY_LEN(plain) : ARRAY_LEN(sealed);
	return part == FIELDS_PLAIN ? plain : sealed;
}

static uint16_t repeats_of(enum fields_part part)
{
	return part == FIELDS_PLAIN ? TAG_DOMAINS : 0;
}

/* The highest tag of a version. */
static uint16_t last_of(enum fields_part part, uint32_t version)
{
	if (version == FIELDS_VERSION_FIRST)
		return part == FIELDS_PLAIN ? 21 : 11;
	return UINT16_MAX;
}

/* ---- writing ---- */

/* A number or UUID that is optional is absent where it is 0: there is one way to write "none". */
static bool is_absent(const struct field *f, const void *at)
{
	static const unsigned char zero[sizeof(uuid_t)];
	size_t len = f->kind == U32 ? 4 : f->kind == U64 ? 8 : sizeof(uuid_t);
	return f->optional && !memcmp(at, zero, len);
}

static void write_field(struct tlv_writer *w, const struct field *f, const struct record *r)
{
	const void *at = (const char *)r + f->offset;
	const char *text = NULL;
	const struct secret *secret = NULL;
	switch (f->kind) {
	case U32:
		if (!is_absent(f, at))
			tlv_put_u32(w, f->tag, *(const uint32_t *)at);
		break;
	case U64:
		if (!is_absent(f, at))
			tlv_put_u64(w, f->tag, *(const uint64_t *)at);
		break;
	case UUID:
		if (!is_absent(f, at))
			tlv_put(w, f->tag, at, sizeof(uuid_t));
		break;
	case PATH:
	case NAME:
		text = *(char *const *)at;
		if (text)
			tlv_put(w, f->tag, text, strlen(text));
		break;
	case CIPHER:
		if (r->cipher[0])
			tlv_put(w, f->tag, r->cipher, strlen(r->cipher));
		break;
	case DIGEST:
		if (r->digest_len)
			tlv_put(w, f->tag, r->digest, r->digest_len);
		break;
	case DOMAINS:
		domains_write(w, f->tag, r);
		break;
	case WORK:
		work_write(w, f->tag, at);
		break;
	case SECRET:
		secret = *(struct secret *const *)at;
		if (secret)
			tlv_put(w, f->tag, secret->data, secret->len);
		break;
	case SALT:
		tlv_put(w, f->tag, at, sizeof(r->geometry.digest_salt));
		break;
	}
}

void fields_write(struct tlv_writer *w, enum fields_part part, const struct record *r)
{
	size_t n;
	const struct field *table = table_of(part, &n);
	for (const struct field *f = table; f < table + n; f++)
		write_field(w, f, r);
	if (part == FIELDS_PLAIN && r->unknown)
		tlv_raw(w, r->unknown, r->unknown_len);
	if (part == FIELDS_SEALED && r->sealed_unknown)
		tlv_raw(w, r->sealed_unknown->data, r->sealed_unknown->len);
}

/* ---- reading ---- */

static int read_secret(const struct tlv *t, struct secret **ret)
{
	if (!t->len || t->len > RECORD_SECRET_MAX)
		return -EBADMSG;
	return secret_copy(t->value, t->len, ret, NULL);
}

static int read_number(const struct field *f, const struct tlv *t, void *at)
{
	bool ok = f->kind == U32 ? tlv_u32(t, at) : f->kind == U64 ? tlv_u64(t, at) : t->len == sizeof(uuid_t);
	if (ok && f->kind == UUID)
		memcpy(at, t->value, t->len);
	return ok && !is_absent(f, at) ? 0 : -EBADMSG;
}

static int read_field(const struct field *f, const struct tlv *t, struct record *r)
{
	void *at = (char *)r + f->offset;
	switch (f->kind) {
	case U32:
	case U64:
	case UUID:
		return read_number(f, t, at);
	case PATH:
		return text_read(t->value, t->len, RECORD_PATH_MAX, at);
	case NAME:
		return text_read(t->value, t->len, RECORD_NAME_MAX, at);
	case CIPHER:
		if (!t->len || t->len >= sizeof(r->cipher) || memchr(t->value, 0, t->len))
			return -EBADMSG;
		memcpy(r->cipher, t->value, t->len);
		return 0;
	case DIGEST:
		if (!t->len || t->len > sizeof(r->digest))
			return -EBADMSG;
		memcpy(r->digest, t->value, t->len);
		r->digest_len = t->len;
		return 0;
	case DOMAINS:
		return domain_read(t, r);
	case WORK:
		return work_read(t, at);
	case SECRET:
		return read_secret(t, at);
	case SALT:
		if (t->len != sizeof(r->geometry.digest_salt))
			return -EBADMSG;
		memcpy(at, t->value, t->len);
		return 0;
	}
	return -EBADMSG;
}

static int newer(struct error *e, const char *what, unsigned number)
{
	return error_set(e, ERROR_FAILED, ENOTSUP,
			 "a newer kvmcrypt wrote this record: %s %u is not known here; use that one", what, number);
}

/* All that is left, from `from` on, is optional and unknown here: its bytes are kept. */
static int read_unknown(struct tlv_reader *t, enum fields_part part, const unsigned char *from, struct record *r,
			struct error *e)
{
	struct tlv item;
	int more;
	while ((more = tlv_next(t, 0, &item)) > 0)
		;
	if (more < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "cut off or out of order");
	size_t len = (size_t)(t->end - from);
	if (part == FIELDS_SEALED)
		return secret_copy(from, len, &r->sealed_unknown, e);
	r->unknown = malloc(len);
	if (!r->unknown)
		return error_oom(e);
	memcpy(r->unknown, from, len);
	r->unknown_len = len;
	return 0;
}

static int read_items(struct tlv_reader *t, enum fields_part part, uint32_t version, struct record *r, struct error *e)
{
	size_t n;
	const struct field *f = table_of(part, &n), *end = f + n;
	const unsigned char *from;
	struct tlv item;
	int more;
	while (from = t->p, (more = tlv_next(t, repeats_of(part), &item)) > 0) {
		/* Both the items and the table ascend: step over what may be absent. */
		while (f < end && f->tag < item.tag && f->optional)
			f++;
		if (f == end && version == FIELDS_VERSION)
			return item.tag < FIELDS_OPTIONAL ? newer(e, "field", item.tag)
							  : read_unknown(t, part, from, r, e);
		if (f == end || f->tag != item.tag || item.tag > last_of(part, version))
			return error_set(e, ERROR_DAMAGED, EBADMSG, "unexpected field %u", item.tag);
		int res = read_field(f, &item, r);
		if (res == -EBADMSG)
			return error_set(e, ERROR_DAMAGED, EBADMSG, "field %u is malformed", item.tag);
		if (res < 0)
			return error_errno(e, ERROR_FAILED, -res, "cannot hold the record in memory");
		if (f->kind != DOMAINS)
			f++;
	}
	while (f < end && f->optional)
		f++;
	return more < 0 || f != end ? error_set(e, ERROR_DAMAGED, EBADMSG, "cut off or out of order") : 0;
}

int fields_read(struct tlv_reader *t, enum fields_part part, uint32_t version, struct record *r, struct error *e)
{
	int res = read_items(t, part, version, r, e);
	if (res < 0 || part != FIELDS_PLAIN)
		return res;
	if (r->role > RECORD_GOLDEN)
		return newer(e, "role", r->role);
	const char *problem = fields_problem(r);
	return problem ? error_set(e, ERROR_DAMAGED, EBADMSG, "%s", problem) : 0;
}

static const char *text_problem(const struct record *r)
{
	for (const struct field *f = plain; f < plain + ARRAY_LEN(plain); f++) {
		if (f->kind != PATH && f->kind != NAME)
			continue;
		const char *text = *(char *const *)((const char *)r + f->offset);
		if (!text && f->optional)
			continue;
		if (f->kind == PATH && (!text || text[0] != '/' || strlen(text) > RECORD_PATH_MAX))
			return "a path is missing, not absolute or too long";
		if (f->kind == NAME && (!text[0] || strlen(text) > RECORD_NAME_MAX))
			return "a name in it is empty or too long";
	}
	return NULL;
}

const char *fields_problem(const struct record *r)
{
	if (uuid_is_null(r->uuid))
		return "it has no UUID";
	const char *problem = text_problem(r);
	if (problem)
		return problem;
	if (r->state < RECORD_READY)
		return "it has no state";
	if (r->format != RECORD_FORMAT_RAW && r->format != RECORD_FORMAT_QCOW2)
		return "its format is unknown";
	if (r->role > RECORD_GOLDEN)
		return "its role is unknown";
	if (r->luks_version > 2)
		return "its LUKS version is unknown";
	if (r->digest_len > sizeof(r->digest) || !memchr(r->cipher, 0, sizeof(r->cipher)))
		return "its digest or cipher is too long";
	if (r->n_domains > RECORD_DOMAINS_MAX)
		return "it has too many domains";
	for (size_t i = 0; i < r->n_domains; i++) {
		size_t name = strlen(r->domains[i].name), target = strlen(r->domains[i].target);
		if (!name || name > RECORD_NAME_MAX || !target || target > RECORD_NAME_MAX)
			return "the name of a domain or target is empty or too long";
	}
	return work_problem(&r->work);
}
