/* keystore/envelope: every byte of a sealed record matters. */
#include "keystore_fixture.h"

#include "keystore/record/envelope.h"
#include "keystore/record/fields.h"
#include "keystore/record/kdf.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

static struct secret *root;
static uuid_t root_id;

static int setup(void **state)
{
	(void)state;
	return secret_random(ROOT_KEY_LEN, &root, NULL) < 0 || kdf_root_id(root, root_id, NULL) < 0;
}

static int teardown(void **state)
{
	(void)state;
	secret_free(root);
	return 0;
}

static struct record *sealed_and_parsed(const struct record *r, uint64_t revision)
{
	AUTOFREE unsigned char *bytes = NULL;
	struct record *got = NULL;
	size_t len = 0;
	assert_ok(envelope_seal(root, root_id, r, revision, &bytes, &len, &e));
	assert_ok(envelope_parse(bytes, len, &got, &e));
	return got;
}

static void assert_same_plain(const struct record *a, const struct record *b)
{
	struct tlv_writer na = { 0 }, nb = { 0 };
	fields_write(&na, FIELDS_PLAIN, a);
	fields_write(&nb, FIELDS_PLAIN, b);
	assert_int_equal(na.len, nb.len);
	unsigned char *x = malloc(na.len), *y = malloc(nb.len);
	struct tlv_writer wa = { .buf = x }, wb = { .buf = y };
	fields_write(&wa, FIELDS_PLAIN, a);
	fields_write(&wb, FIELDS_PLAIN, b);
	assert_memory_equal(x, y, na.len);
	free(x);
	free(y);
}

static void round_trip(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	(void)state;
	r->state = RECORD_ROTATING;
	r->beside = strdup("/srv/.a.new");
	r->backing = strdup("/srv/base.qcow2");
	r->integrity = strdup("hmac-sha256");
	r->created = -5;
	assert_ok(secret_generate_passphrase(&r->pending, &e));
	AUTORECORD struct record *got = sealed_and_parsed(r, 7);
	assert_int_equal(got->revision, 7);
	assert_null(got->passphrase);
	assert_false(got->revealed);
	r->revision = 7;
	assert_same_plain(r, got);
	assert_string_equal(got->beside, "/srv/.a.new");
	assert_string_equal(got->backing, "/srv/base.qcow2");
	assert_string_equal(got->integrity, "hmac-sha256");
	assert_string_equal(got->domains[0].name, "web1");
	assert_ok(envelope_open(root, root_id, got, false, &e));
	assert_null(got->passphrase);
	assert_ok(envelope_open(root, root_id, got, true, &e));
	assert_true(got->revealed);
	assert_true(secret_equal(got->passphrase, r->passphrase));
	assert_true(secret_equal(got->pending, r->pending));
	assert_true(secret_equal(got->volume_key, r->volume_key));
	assert_memory_equal(&got->geometry, &r->geometry, sizeof(r->geometry));
}

static void bare_record(void **state)
{
	AUTORECORD struct record *r = NULL;
	(void)state;
	assert_ok(record_new(&r, &e));
	r->path = strdup("/x");
	r->format = RECORD_FORMAT_RAW;
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	assert_ok(envelope_open(root, root_id, got, true, &e));
	assert_null(got->passphrase);
	assert_null(got->header_path);
	assert_int_equal(got->n_domains, 0);
}

static void secrets_are_not_in_it(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	(void)state;
	assert_null(memmem(got->envelope, got->envelope_len, r->passphrase->data, r->passphrase->len));
	assert_null(memmem(got->envelope, got->envelope_len, r->volume_key->data, r->volume_key->len));
	assert_null(memmem(got->envelope, got->envelope_len, root->data, root->len));
}

static void every_write_has_its_own_key(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *a = sealed_and_parsed(r, 1);
	AUTORECORD struct record *b = sealed_and_parsed(r, 1);
	(void)state;
	assert_int_equal(a->envelope_len, b->envelope_len);
	size_t tail = 200; /* well inside the ciphertext */
	assert_memory_not_equal(a->envelope + a->envelope_len - tail, b->envelope + b->envelope_len - tail, tail);
}

/* One bit at a time: either the parser refuses, or the seal does. */
static void every_bit_is_bound(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *whole = sealed_and_parsed(r, 3);
	unsigned char *bytes = malloc(whole->envelope_len);
	(void)state;
	for (size_t i = 0; i < whole->envelope_len * 8; i++) {
		AUTORECORD struct record *got = NULL;
		memcpy(bytes, whole->envelope, whole->envelope_len);
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		if (envelope_parse(bytes, whole->envelope_len, &got, &e) == 0 &&
		    envelope_open(root, root_id, got, true, &e) == 0)
			fail_msg("bit %zu of byte %zu does not matter", i % 8, i / 8);
	}
	free(bytes);
}

static void every_length_is_bound(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *whole = sealed_and_parsed(r, 3);
	unsigned char *bytes = calloc(1, whole->envelope_len + 1);
	(void)state;
	memcpy(bytes, whole->envelope, whole->envelope_len);
	for (size_t len = 0; len <= whole->envelope_len + 1; len++) {
		AUTORECORD struct record *got = NULL;
		if (len != whole->envelope_len && envelope_parse(bytes, len, &got, &e) == 0)
			fail_msg("%zu bytes of %zu were accepted", len, whole->envelope_len);
	}
	free(bytes);
}

static void other_root_key(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	AUTOSECRET struct secret *other = NULL;
	uuid_t other_id;
	(void)state;
	assert_ok(secret_random(ROOT_KEY_LEN, &other, &e));
	assert_ok(kdf_root_id(other, other_id, &e));
	assert_fails(envelope_open(other, other_id, got, false, &e), ERROR_DAMAGED, "another root key");
	/* Even one that claims the right name. */
	assert_fails(envelope_open(other, root_id, got, false, &e), ERROR_DAMAGED, "does not verify");
}

static void plain_parts_cannot_be_exchanged(void **state)
{
	AUTORECORD struct record *a = make_record("/srv/a.qcow2");
	AUTORECORD struct record *b = make_record("/srv/b.qcow2");
	AUTORECORD struct record *sa = sealed_and_parsed(a, 1);
	AUTORECORD struct record *sb = sealed_and_parsed(b, 1);
	(void)state;
	/* Same lengths, so the plain part of one fits before the sealed part of the other. */
	assert_int_equal(sa->envelope_len, sb->envelope_len);
	size_t plain = 12 + (size_t)get_be(sa->envelope + 8, 4);
	memcpy(sa->envelope, sb->envelope, plain);
	assert_fails(envelope_open(root, root_id, sa, false, &e), ERROR_DAMAGED, "does not verify");
}

static void a_newer_format_is_named(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	AUTORECORD struct record *s = sealed_and_parsed(r, 1);
	struct record *got = NULL;
	(void)state;
	put_be(s->envelope + 4, FIELDS_VERSION + 1, 4);
	assert_fails(envelope_parse(s->envelope, s->envelope_len, &got, &e), ERROR_FAILED,
		     "a newer kvmcrypt wrote this record: it has format version 3");
}

static void the_writer_refuses_what_the_reader_would(void **state)
{
	unsigned char *bytes = NULL;
	size_t len;
	(void)state;
	for (int i = 0; i < 15; i++) {
		AUTORECORD struct record *r = make_record("/srv/a.qcow2");
		switch (i) {
		case 0:
			uuid_clear(r->uuid);
			break;
		case 1:
			r->path[0] = 'x';
			break;
		case 2:
			free(TAKE_PTR(r->path));
			break;
		case 3:
			r->state = (enum record_state)0;
			break;
		case 4:
			r->format = (enum record_format)3;
			break;
		case 5:
			r->digest_len = 65;
			break;
		case 6:
			r->domains[0].name[0] = 0;
			break;
		case 7:
			memset(r->cipher, 'a', sizeof(r->cipher));
			break;
		case 8:
			r->integrity = strdup("");
			break;
		case 9:
			r->backing = strdup("");
			break;
		case 10:
			r->role = (enum record_role)4;
			break;
		case 11:
			r->moved = strdup("");
			break;
		case 12:
			r->work.version = RECORD_WORK_VERSION + 1;
			break;
		case 13:
			r->work.version = 1;
			assert_ok(record_work_file(&r->work, 1, "not absolute", 0, 0, &e));
			break;
		case 14:
			r->work.version = 1;
			r->work.params = strdup("");
			break;
		}
		assert_fails(envelope_seal(root, root_id, r, 1, &bytes, &len, &e), ERROR_USAGE, "cannot be stored");
	}
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	secret_free(r->passphrase);
	assert_ok(secret_new(RECORD_SECRET_MAX + 1, &r->passphrase, &e));
	assert_fails(envelope_seal(root, root_id, r, 1, &bytes, &len, &e), ERROR_USAGE, "too long");
}

/* ---- the parser alone ---- */

static int parse_as(uint32_t version, const unsigned char *p, size_t len)
{
	AUTORECORD struct record *r = calloc(1, sizeof(*r));
	struct tlv_reader t = { .p = p, .end = p + len };
	return fields_read(&t, FIELDS_PLAIN, version, r, &e);
}

static int parse_items(const unsigned char *p, size_t len)
{
	return parse_as(FIELDS_VERSION, p, len);
}

/* The plain part with more bytes behind it; the caller frees. */
static unsigned char *plain_and(const struct record *r, const void *more, size_t more_len, size_t *ret_len)
{
	struct tlv_writer count = { 0 };
	fields_write(&count, FIELDS_PLAIN, r);
	unsigned char *bytes = malloc(count.len + more_len);
	struct tlv_writer w = { .buf = bytes };
	fields_write(&w, FIELDS_PLAIN, r);
	memcpy(bytes + count.len, more, more_len);
	*ret_len = count.len + more_len;
	return bytes;
}

/* A record in which no member is empty. */
static struct record *full_record(void)
{
	struct record *r = make_record("/srv/a.qcow2");
	r->beside = strdup("/i");
	r->backing = strdup("/b");
	r->integrity = strdup("aead");
	r->recovery_slots = 1u << 3;
	r->role = RECORD_BACKUP;
	r->parent_format = strdup("vmdk");
	r->snapshot = strdup("before the update");
	r->backup.checkpoint = strdup("c1");
	r->backup.digest = strdup("sha256:00");
	r->placement = strdup("host-a");
	r->moved = strdup("host-b");
	r->hash = strdup("sha256");
	r->fence = 7;
	r->iv_tweak = 1ull << 40;
	r->data_size = 1ull << 20;
	uuid_generate_random(r->parent);
	uuid_generate_random(r->backup.of);
	uuid_generate_random(r->backup.previous);
	uuid_generate_random(r->cloned_from);
	r->work = (struct record_work){ .version = RECORD_WORK_VERSION, .number = 17, .step = 2, .mark = 1ull << 33 };
	r->work.params = strdup("{\"to\":\"/srv/b.qcow2\"}");
	r->work.disposal = strdup("overwrite");
	assert_ok(record_work_file(&r->work, 1, "/srv/.a.x1y2.kvmcrypt-new", 0, 0, &e));
	assert_ok(record_work_file(&r->work, 1, "/srv/.a.x1y2.kvmcrypt-new", 5, 1234, &e));
	assert_ok(record_work_file(&r->work, 2, "/srv/.a.x1y2.kvmcrypt-new", 0, 0, &e));
	assert_int_equal(r->work.n_files, 2);
	return r;
}

static void every_member_comes_back(void **state)
{
	AUTORECORD struct record *r = full_record();
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	(void)state;
	r->revision = 1;
	assert_same_plain(r, got);
	assert_int_equal(got->role, RECORD_BACKUP);
	assert_string_equal(got->parent_format, "vmdk");
	assert_string_equal(got->snapshot, "before the update");
	assert_int_equal(uuid_compare(got->backup.previous, r->backup.previous), 0);
	assert_string_equal(got->moved, "host-b");
	assert_int_equal(got->fence, 7);
	assert_int_equal(got->iv_tweak, 1ull << 40);
	assert_int_equal(got->work.step, 2);
	assert_int_equal(got->work.mark, 1ull << 33);
	assert_string_equal(got->work.params, "{\"to\":\"/srv/b.qcow2\"}");
	assert_int_equal(got->work.files[0].inode, 1234);
	assert_int_equal(got->work.files[1].role, 2);
	record_work_clear(&got->work);
	AUTORECORD struct record *idle = sealed_and_parsed(got, 2);
	assert_int_equal(idle->work.version, 0);
	assert_null(idle->work.files);
}

/* Whoever acts refuses; to say that is not the parser's part. */
static void an_unknown_state_is_no_damage(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	(void)state;
	r->state = (enum record_state)4711;
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	assert_int_equal(got->state, 4711);
	assert_string_equal(record_state_name(got->state), "unknown");
}

static void a_newer_workflow_is_kept_as_it_is(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	static const unsigned char newer[] = {
		0, 37, 0, 0, 0, 37,
		0, 1, 0, 0, 0, 4, 0, 0, 0, 9,	0, 2, 0, 0, 0, 4, 0, 0, 0, 70,	0, 3, 0, 0, 0, 4, 0, 0, 0, 5,
		0, 99, 0, 0, 0, 1, 42,
	};
	size_t len, again;
	AUTOFREE unsigned char *bytes = plain_and(r, newer, sizeof(newer), &len);
	AUTORECORD struct record *got = calloc(1, sizeof(*got));
	struct tlv_reader t = { .p = bytes, .end = bytes + len };
	(void)state;
	assert_ok(fields_read(&t, FIELDS_PLAIN, FIELDS_VERSION, got, &e));
	assert_int_equal(got->work.version, 9);
	assert_int_equal(got->work.number, 70);
	assert_int_equal(got->work.step, 5);
	AUTOFREE unsigned char *written = plain_and(got, "", 0, &again);
	assert_int_equal(again, len);
	assert_memory_equal(written, bytes, len);
	record_work_clear(&got->work);
	free(TAKE_PTR(written));
	written = plain_and(got, "", 0, &again);
	assert_int_equal(again, len - sizeof(newer));
}

static void unknown_optional_fields_are_kept(void **state)
{
	AUTORECORD struct record *r = full_record();
	static const unsigned char more[] = { 0x80, 0, 0, 0, 0, 3, 'a', 0, 'b', 0x90, 1, 0, 0, 0, 0 };
	(void)state;
	r->unknown = memcpy(malloc(sizeof(more)), more, sizeof(more));
	r->unknown_len = sizeof(more);
	assert_ok(secret_copy(more, sizeof(more), &r->sealed_unknown, &e));
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	assert_int_equal(got->unknown_len, sizeof(more));
	assert_memory_equal(got->unknown, more, sizeof(more));
	assert_ok(envelope_open(root, root_id, got, true, &e));
	assert_true(secret_equal(got->sealed_unknown, r->sealed_unknown));
	/* Written again, by somebody who changed what he knows. */
	got->generation++;
	AUTORECORD struct record *again = sealed_and_parsed(got, 2);
	assert_ok(envelope_open(root, root_id, again, true, &e));
	assert_memory_equal(again->unknown, more, sizeof(more));
	assert_true(secret_equal(again->sealed_unknown, r->sealed_unknown));
	/* Not in an order of their own. */
	size_t len;
	static const unsigned char back[] = { 0x90, 1, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0 };
	AUTORECORD struct record *bare = make_record("/srv/a.qcow2");
	AUTOFREE unsigned char *bytes = plain_and(bare, back, sizeof(back), &len);
	assert_int_equal(parse_items(bytes, len), -EBADMSG);
	assert_int_equal(parse_items(bytes, len - 6), 0);
}

static void an_unknown_field_of_a_newer_one_is_named(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	static const unsigned char unknown[] = { 0x7f, 0xff, 0, 0, 0, 0 }, role[] = { 0, 22, 0, 0, 0, 4, 0, 0, 0, 4 };
	size_t len;
	AUTOFREE unsigned char *bytes = plain_and(r, unknown, sizeof(unknown), &len);
	(void)state;
	assert_int_equal(parse_items(bytes, len), -ENOTSUP);
	assert_int_equal(e.kind, ERROR_FAILED);
	assert_non_null(strstr(e.message, "a newer kvmcrypt wrote this record: field 32767"));
	assert_int_equal(parse_as(1, bytes, len), -EBADMSG);
	free(TAKE_PTR(bytes));
	bytes = plain_and(r, role, sizeof(role), &len);
	assert_int_equal(parse_items(bytes, len), -ENOTSUP);
	assert_non_null(strstr(e.message, "role 4"));
}

/* What the first release wrote is read, and nothing that it could not have written. */
static void the_first_version(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	static const unsigned char optional[] = { 0x80, 0, 0, 0, 0, 0 };
	size_t len;
	AUTOFREE unsigned char *bytes = plain_and(r, optional, sizeof(optional), &len);
	(void)state;
	assert_int_equal(parse_as(1, bytes, len - sizeof(optional)), 0);
	assert_int_equal(parse_as(1, bytes, len), -EBADMSG);
	r->role = RECORD_LAYER;
	free(TAKE_PTR(bytes));
	bytes = plain_and(r, "", 0, &len);
	assert_int_equal(parse_as(1, bytes, len), -EBADMSG);
	assert_int_equal(parse_items(bytes, len), 0);
}

/* Items of a good record, one left out, doubled or moved: only the optional ones may be missing. */
static void order_and_presence(void **state)
{
	AUTORECORD struct record *r = full_record();
	struct tlv_writer count = { 0 };
	(void)state;
	fields_write(&count, FIELDS_PLAIN, r);
	unsigned char *bytes = malloc(count.len), *out = malloc(2 * count.len);
	struct tlv_writer w = { .buf = bytes };
	fields_write(&w, FIELDS_PLAIN, r);
	assert_int_equal(parse_items(bytes, count.len), 0);
	for (size_t at = 0, len; at < count.len; at += len) {
		len = TLV_HEADER + (size_t)get_be(bytes + at + 2, 4);
		uint16_t tag = (uint16_t)get_be(bytes + at, 2);
		bool optional = tag == 6 || tag == 7 || tag == 12 || tag == 13 || tag >= 18;
		memcpy(out, bytes, at);
		memcpy(out + at, bytes + at + len, count.len - at - len);
		assert_int_equal(parse_items(out, count.len - len), optional ? 0 : -EBADMSG);
		memcpy(out, bytes, at + len);
		memcpy(out + at + len, bytes + at, count.len - at);
		assert_int_equal(parse_items(out, count.len + len), -EBADMSG);
		if (at) { /* to the front */
			memcpy(out, bytes + at, len);
			memcpy(out + len, bytes, at);
			memcpy(out + len + at, bytes + at + len, count.len - at - len);
			assert_int_equal(parse_items(out, count.len), -EBADMSG);
		}
	}
	free(bytes);
	free(out);
}

/* Records of the first release have no item 21, and must go on being read and written as they were. */
static void nothing_new_in_a_record_that_needs_nothing_new(void **state)
{
	static const unsigned char none[] = { 0, 21, 0, 0, 0, 4, 0, 0, 0, 0 };
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	struct tlv_writer count = { 0 };
	(void)state;
	fields_write(&count, FIELDS_PLAIN, r);
	unsigned char *bytes = malloc(count.len + sizeof(none));
	struct tlv_writer w = { .buf = bytes };
	fields_write(&w, FIELDS_PLAIN, r);
	uint16_t last = 0;
	for (size_t at = 0; at < count.len; at += TLV_HEADER + (size_t)get_be(bytes + at + 2, 4))
		last = (uint16_t)get_be(bytes + at, 2);
	assert_int_equal(last, 20);
	assert_int_equal(parse_items(bytes, count.len), 0);
	/* There is one way to write "none". */
	memcpy(bytes + count.len, none, sizeof(none));
	assert_int_equal(parse_items(bytes, count.len + sizeof(none)), -EBADMSG);
	free(bytes);
}

static void domains_of_a_record(void **state)
{
	AUTORECORD struct record *r = make_record("/srv/a.qcow2");
	uuid_t d;
	(void)state;
	uuid_copy(d, r->domains[0].uuid);
	assert_ok(record_add_domain(r, d, "web1-renamed", "vda", &e));
	assert_int_equal(r->n_domains, 1);
	assert_string_equal(r->domains[0].name, "web1-renamed");
	assert_ok(record_add_domain(r, d, "web1-renamed", "vdb", &e));
	assert_int_equal(r->n_domains, 2);
	assert_int_equal(record_remove_domain(r, d, "vdc"), 0);
	assert_int_equal(record_remove_domain(r, d, "vda"), 1);
	assert_int_equal(r->n_domains, 1);
	assert_string_equal(r->domains[0].target, "vdb");
	assert_int_equal(record_remove_domain(r, d, NULL), 1);
	assert_int_equal(r->n_domains, 0);
	for (int i = 0; i < RECORD_DOMAINS_MAX; i++) {
		uuid_generate_random(d);
		assert_ok(record_add_domain(r, d, "n", "vda", &e));
	}
	AUTORECORD struct record *got = sealed_and_parsed(r, 1);
	assert_int_equal(got->n_domains, RECORD_DOMAINS_MAX);
	uuid_generate_random(d);
	assert_ok(record_add_domain(r, d, "n", "vda", &e));
	unsigned char *bytes = NULL;
	size_t len;
	assert_fails(envelope_seal(root, root_id, r, 1, &bytes, &len, &e), ERROR_USAGE, "too many domains");
}

/* RFC 5869, test case 1; and that the ID of a key is a version 8 UUID that depends on it. */
static void derivation(void **state)
{
	unsigned char ikm[22], salt[13], info[10];
	AUTOSECRET struct secret *key = NULL;
	AUTOSECRET struct secret *okm = NULL;
	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (unsigned char)(0xf0 + i);
	assert_ok(secret_copy(ikm, sizeof(ikm), &key, &e));
	assert_ok(kdf_derive(key, salt, sizeof(salt), info, sizeof(info), 42, &okm, &e));
	assert_memory_equal(okm->data,
			    "\x3c\xb2\x5f\x25\xfa\xac\xd5\x7a\x90\x43\x4f\x64\xd0\x36\x2f\x2a"
			    "\x2d\x2d\x0a\x90\xcf\x1a\x5a\x4c\x5d\xb0\x2d\x56\xec\xc4\xc5\xbf"
			    "\x34\x00\x72\x08\xd5\xb8\x87\x18\x58\x65", 42);
	AUTOSECRET struct secret *longest = NULL;
	assert_ok(kdf_derive(key, NULL, 0, NULL, 0, 255 * HASH_LEN, &longest, &e));
	struct secret *none = NULL;
	assert_fails(kdf_derive(key, NULL, 0, NULL, 0, 255 * HASH_LEN + 1, &none, &e), ERROR_USAGE, "at most 8160");
	assert_int_equal(root_id[6] >> 4, 8);
	assert_int_equal(root_id[8] >> 6, 2);
	uuid_t other;
	root->data[0] ^= 1;
	assert_ok(kdf_root_id(root, other, &e));
	root->data[0] ^= 1;
	assert_int_not_equal(uuid_compare(other, root_id), 0);
}

/* ---- OpenSSL reads what Nettle wrote ---- */

static void openssl_hkdf(const unsigned char *key, size_t key_len, const unsigned char *salt, size_t salt_len,
			 const unsigned char *info, size_t info_len, unsigned char *to, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[5], *p = params;
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_len);
	if (salt_len)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len);
	*p = OSSL_PARAM_construct_end();
	assert_int_equal(EVP_KDF_derive(ctx, to, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* Lengths around the blocks of SHA-256 and HKDF, 1 to 255 bytes of each. */
static void derivation_is_openssls(void **state)
{
	(void)state;
	for (size_t i = 1; i < 256; i += 7) {
		AUTOSECRET struct secret *key = NULL;
		AUTOSECRET struct secret *data = NULL;
		AUTOSECRET struct secret *got = NULL;
		unsigned char want[600], mac[HASH_LEN];
		size_t salt_len = i % 3 ? i : 0, len = 2 * i + 1, n;
		assert_ok(secret_random(i, &key, &e));
		assert_ok(secret_random(i, &data, &e));
		assert_ok(kdf_derive(key, data->data, salt_len, data->data, i, len, &got, &e));
		openssl_hkdf(key->data, i, data->data, salt_len, data->data, i, want, len);
		assert_int_equal(got->len, len);
		assert_memory_equal(got->data, want, len);
		assert_ok(kdf_hmac(key, data->data, i, mac, &e));
		assert_non_null(
			EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->data, i, data->data, i, want, HASH_LEN, &n));
		assert_memory_equal(mac, want, HASH_LEN);
		kdf_sha256(data->data, i, mac);
		assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, data->data, i, want, &n), 1);
		assert_memory_equal(mac, want, HASH_LEN);
	}
}

/* By keystore/FORMAT.md alone: the plain part's length at 8, then root key ID, salt, length, ciphertext, tag. */
static void a_record_opens_with_openssl(void **state)
{
	(void)state;
	for (int i = 1; i < 40; i++) {
		AUTORECORD struct record *r = make_record("/srv/a.qcow2");
		AUTOFREE unsigned char *bytes = NULL;
		unsigned char info[18 + 16 + 16 + 8] = "kvmcrypt record v1", keys[44], out[4096];
		const uint64_t revision = (uint64_t)i * 0x123456789;
		size_t len = 0;
		int n, last;
		assert_ok(secret_random((size_t)i, &r->pending, &e));
		assert_ok(envelope_seal(root, root_id, r, revision, &bytes, &len, &e));
		size_t plain = (size_t)bytes[10] << 8 | bytes[11], aad = 12 + plain + 16 + 32 + 4;
		memcpy(info + 18, bytes + 12 + plain, 16);
		memcpy(info + 34, r->uuid, 16);
		for (int k = 0; k < 8; k++)
			info[50 + k] = (unsigned char)(revision >> (56 - 8 * k));
		openssl_hkdf(root->data, root->len, bytes + 12 + plain + 16, 32, info, sizeof(info), keys,
			     sizeof(keys));
		EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
		assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, keys, keys + 32), 1);
		assert_int_equal(EVP_DecryptUpdate(c, NULL, &n, bytes, (int)aad), 1);
		assert_int_equal(EVP_DecryptUpdate(c, out, &n, bytes + aad, (int)(len - aad - 16)), 1);
		assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, 16, bytes + len - 16), 1);
		assert_int_equal(EVP_DecryptFinal_ex(c, out + n, &last), 1);
		EVP_CIPHER_CTX_free(c);
		assert_non_null(memmem(out, (size_t)n, r->passphrase->data, r->passphrase->len));
		assert_non_null(memmem(out, (size_t)n, r->pending->data, r->pending->len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(bare_record),
		cmocka_unit_test(secrets_are_not_in_it),
		cmocka_unit_test(every_write_has_its_own_key),
		cmocka_unit_test(every_bit_is_bound),
		cmocka_unit_test(every_length_is_bound),
		cmocka_unit_test(other_root_key),
		cmocka_unit_test(plain_parts_cannot_be_exchanged),
		cmocka_unit_test(a_newer_format_is_named),
		cmocka_unit_test(the_writer_refuses_what_the_reader_would),
		cmocka_unit_test(order_and_presence),
		cmocka_unit_test(every_member_comes_back),
		cmocka_unit_test(an_unknown_state_is_no_damage),
		cmocka_unit_test(a_newer_workflow_is_kept_as_it_is),
		cmocka_unit_test(unknown_optional_fields_are_kept),
		cmocka_unit_test(an_unknown_field_of_a_newer_one_is_named),
		cmocka_unit_test(the_first_version),
		cmocka_unit_test(nothing_new_in_a_record_that_needs_nothing_new),
		cmocka_unit_test(domains_of_a_record),
		cmocka_unit_test(derivation),
		cmocka_unit_test(derivation_is_openssls),
		cmocka_unit_test(a_record_opens_with_openssl),
	};
	return cmocka_run_group_tests_name("envelope", tests, setup, teardown);
}
