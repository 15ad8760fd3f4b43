/* What keystore import makes of bundles that no export wrote. */
#include "keystore_fixture.h"

#include "keystore/bundle.h"
#include "keystore/record/envelope.h"
#include "keystore/record/kdf.h"
#include "keystore/record/tlv.h"

static struct record *plain_record(void)
{
	struct record *r = make_record("/images/a.raw");
	for (size_t i = 0; i < r->n_domains; i++) {
		free(r->domains[i].name);
		free(r->domains[i].target);
	}
	free(TAKE_PTR(r->domains));
	r->n_domains = 0;
	return r;
}

/* A bundle of one record, or of `says` records of which one is there and `cut` bytes are missing. */
static void make_bundle(struct keystore *ks, const struct record *r, size_t says, size_t cut, unsigned char **ret,
			size_t *ret_len)
{
	AUTOSECRET struct secret *key = NULL;
	AUTOSECRET struct secret *content = NULL;
	AUTOFREE unsigned char *envelope = NULL;
	size_t len = 0;
	uuid_t id;
	AUTOFREE char *certificate = NULL;
	/* A passphrase would cost a second each. */
	assert_ok(keystore_certificate(ks, "test", &certificate, &e));
	assert_ok(secret_random(32, &key, &e));
	assert_ok(kdf_root_id(key, id, &e));
	assert_ok(envelope_seal(key, id, r, 1, &envelope, &len, &e));
	assert_ok(secret_new(48 + len - cut, &content, &e));
	memcpy(content->data, "KVMB", 4);
	put_be(content->data + 4, 1, 4);
	memcpy(content->data + 8, key->data, 32);
	put_be(content->data + 40, says, 4);
	put_be(content->data + 44, len, 4);
	memcpy(content->data + 48, envelope, len - cut);
	assert_ok(bundle_encrypt(content, NULL, certificate, ret, ret_len, &e));
}

static void assert_bundle(struct keystore *ks, const struct record *r, size_t says, size_t cut, const char *want)
{
	AUTOFREE unsigned char *bundle = NULL;
	struct record **records = NULL;
	size_t len = 0, n = 0;
	make_bundle(ks, r, says, cut, &bundle, &len);
	if (want) {
		assert_fails(keystore_open_bundle(ks, bundle, len, NULL, NULL, &records, &n, &e), ERROR_DAMAGED, want);
		return;
	}
	assert_ok(keystore_open_bundle(ks, bundle, len, NULL, NULL, &records, &n, &e));
	assert_int_equal(n, 1);
	keystore_records_free(records, n);
}

/* Recover would remove the temporary file, or finish erasing an image of this host. */
static void no_open_workflow_comes_in(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *r = plain_record();
	(void)state;
	assert_bundle(ks, r, 1, 0, NULL);
	static const enum record_state states[] = { RECORD_CREATING,   RECORD_IMPORTING, RECORD_ROTATING,
						    RECORD_CONVERTING, RECORD_ERASING,	 RECORD_RESIZING,
						    RECORD_PIVOTING,   RECORD_RETIRING };
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		r->state = states[i];
		assert_bundle(ks, r, 1, 0, "malformed");
	}
	r->state = RECORD_READY;
	r->beside = strdup("/etc/passwd");
	assert_bundle(ks, r, 1, 0, "malformed");
	free(TAKE_PTR(r->beside));
	assert_ok(secret_generate_passphrase(&r->pending, &e));
	assert_bundle(ks, r, 1, 0, "malformed");
	secret_free(TAKE_PTR(r->pending));
	uuid_t domain;
	uuid_generate_random(domain);
	assert_ok(record_add_domain(r, domain, "web1", "vda", &e));
	assert_bundle(ks, r, 1, 0, "malformed");
}

static void truncated_ones_are_refused(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *r = plain_record();
	(void)state;
	assert_bundle(ks, r, 0, 0, "malformed");
	assert_bundle(ks, r, 2, 0, "malformed");
	assert_bundle(ks, r, 0xffffffff, 0, "malformed");
	assert_bundle(ks, r, 1, 1, "malformed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEYSTORE_TEST(no_open_workflow_comes_in),
		KEYSTORE_TEST(truncated_ones_are_refused),
	};
	return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
