#include "keystore/record/fields.h"

#include <assert.h>
#include <string.h>

enum kind { U32, U64, UUID, STRING, CIPHER, DIGEST, DOMAINS, SECRET, SALT };

struct field {
	uint16_t tag;
	enum kind kind;
	bool optional;
	size_t offset;
};

#define TAG_DOMAINS 20 /* the one that may be there more than once */
#define AT(member) offsetof(struct record, member)
static_assert(sizeof(enum record_state) == 4 && sizeof(enum record_format) == 4,
	      "enums are read and written as U32");

/* FORMAT.md lists both tables. A tag is never reused; a new one is a new envelope version. */
static const struct field plain[] = {
	{ 1, UUID, false, AT(uuid) },
	{ 2, U64, false, AT(revision) },
	{ 3, U64, false, AT(generation) },
	{ 4, U32, false, AT(state) },
	{ 5, STRING, false, AT(path) },
	{ 6, STRING, true, AT(header_path) },
	{ 7, STRING, true, AT(intent) },
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
	{ 18, STRING, true, AT(backing) },
	{ 19, STRING, true, AT(integrity) },
	{ TAG_DOMAINS, DOMAINS, true, AT(domains) },
	{ 21, U32, true, AT(recovery_slots) },
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

/* ---- writing ---- */

/* UUID, u16 length of the name, the name, the target to the end. */
static void write_domains(struct tlv_writer *w, uint16_t tag, const struct record *r)
{
	for (size_t i = 0; i < r->n_domains; i++) {
		const struct record_domain *d = &r->domains[i];
		size_t name = strlen(d->name), target = strlen(d->target);
		unsigned char *p = tlv_reserve(w, tag, sizeof(uuid_t) + 2 + name + target);
		if (!p)
			continue;
		memcpy(p, d->uuid, sizeof(uuid_t));
		put_be(p + 16, name, 2);
		memcpy(p + 18, d->name, name);
		memcpy(p + 18 + name, d->target, target);
	}
}

void fields_write(struct tlv_writer *w, enum fields_part part, const struct record *r)
{
	size_t n;
	const struct field *table = table_of(part, &n);
	for (const struct field *f = table; f < table + n; f++) {
		const void *at = (const char *)r + f->offset;
		const char *string = NULL;
		const struct secret *secret = NULL;
		switch (f->kind) {
		case U32:
			/* An absent number is 0: records from before there was such a field. */
			if (!f->optional || *(const uint32_t *)at)
				tlv_put_u32(w, f->tag, *(const uint32_t *)at);
			break;
		case U64:
			tlv_put_u64(w, f->tag, *(const uint64_t *)at);
			break;
		case UUID:
			tlv_put(w, f->tag, at, sizeof(uuid_t));
			break;
		case STRING:
			string = *(char *const *)at;
			if (string)
				tlv_put(w, f->tag, string, strlen(string));
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
			write_domains(w, f->tag, r);
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
}

/* ---- reading ---- */

/* A string of min..max bytes without a zero byte inside, as a new zero-terminated one. */
static int read_string(const unsigned char *p, size_t len, size_t max, char **ret)
{
	if (!len || len > max || memchr(p, 0, len))
		return -EBADMSG;
	char *s = strndup((const char *)p, len);
	if (!s)
		return -ENOMEM;
	free(*ret);
	*ret = s;
	return 0;
}

static int read_domain(const struct tlv *t, struct record *r)
{
	AUTOFREE char *name = NULL;
	AUTOFREE char *target = NULL;
	if (t->len < 18 || r->n_domains == RECORD_DOMAINS_MAX)
		return -EBADMSG;
	size_t name_len = (size_t)get_be(t->value + 16, 2);
	if (name_len > t->len - 18)
		return -EBADMSG;
	int res = read_string(t->value + 18, name_len, RECORD_NAME_MAX, &name);
	if (res == 0)
		res = read_string(t->value + 18 + name_len, t->len - 18 - name_len, RECORD_NAME_MAX,
				  &target);
	if (res < 0)
		return res;
	size_t before = r->n_domains;
	uuid_t uuid;
	memcpy(uuid, t->value, sizeof(uuid));
	res = record_add_domain(r, uuid, name, target, NULL);
	if (res < 0)
		return res;
	/* The same pair twice would not come out of the writer. */
	return r->n_domains == before ? -EBADMSG : 0;
}

static int read_secret(const struct tlv *t, struct secret **ret)
{
	if (!t->len || t->len > RECORD_SECRET_MAX)
		return -EBADMSG;
	return secret_copy(t->value, t->len, ret, NULL);
}

static int read_field(const struct field *f, const struct tlv *t, struct record *r)
{
	void *at = (char *)r + f->offset;
	switch (f->kind) {
	case U32:
		return tlv_u32(t, at) && (!f->optional || *(const uint32_t *)at) ? 0 : -EBADMSG;
	case U64:
		return tlv_u64(t, at) ? 0 : -EBADMSG;
	case UUID:
		if (t->len != sizeof(uuid_t))
			return -EBADMSG;
		memcpy(at, t->value, t->len);
		return 0;
	case STRING:
		return read_string(t->value, t->len, RECORD_PATH_MAX, at);
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
		return read_domain(t, r);
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

int fields_read(struct tlv_reader *t, enum fields_part part, struct record *r, struct error *e)
{
	size_t n;
	const struct field *f = table_of(part, &n), *end = f + n;
	struct tlv item;
	int more;
	while ((more = tlv_next(t, repeats_of(part), &item)) > 0) {
		/* Both the items and the table ascend: step over what may be absent. */
		while (f < end && f->tag < item.tag && f->optional)
			f++;
		if (f == end || f->tag != item.tag)
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
	if (more < 0 || f != end)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "cut off or out of order");
	const char *problem = part == FIELDS_PLAIN ? fields_problem(r) : NULL;
	if (problem)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s", problem);
	return 0;
}

static bool bad_path(const char *path)
{
	return path && (path[0] != '/' || strlen(path) > RECORD_PATH_MAX);
}

const char *fields_problem(const struct record *r)
{
	if (uuid_is_null(r->uuid))
		return "it has no UUID";
	if (!r->path || bad_path(r->path) || bad_path(r->header_path) || bad_path(r->intent) ||
	    bad_path(r->backing))
		return "a path is missing, not absolute or too long";
	if (r->integrity && (!r->integrity[0] || strlen(r->integrity) > RECORD_NAME_MAX))
		return "the name of its integrity algorithm is empty or too long";
	if (r->state < RECORD_READY || r->state > RECORD_PIVOTING)
		return "its state is unknown";
	if (r->format != RECORD_FORMAT_RAW && r->format != RECORD_FORMAT_QCOW2)
		return "its format is unknown";
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
	return NULL;
}
