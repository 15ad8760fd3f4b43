/* keystore/recovery: the text of a recovery key and the ways people write it. */
#include "fixture.h"

#include "keystore/keystore.h"
#include "keystore/seal/recovery.h"

#include <ctype.h>

static struct error e;

/* A known pair: 32 bytes 00 01 02 … 1f in base32 (RFC 4648), grouped. */
static const char known[] = "AAAQ-EAYE-AUDA-OCAJ-BIFQ-YDIO-B4IB-CEQT-CQKR-MFYY-DENB-WHA5-DYPQ";

static bool parse(const char *text, struct secret **ret)
{
	AUTOSECRET struct secret *s = NULL;
	bool found = false;
	assert_ok(secret_copy(text, strlen(text), &s, &e));
	assert_ok(recovery_parse(s, &found, ret, &e));
	return found;
}

static void assert_reads_as_known(const char *text)
{
	AUTOSECRET struct secret *s = NULL;
	if (!parse(text, &s))
		fail_msg("'%s' was not taken for a recovery key", text);
	assert_int_equal(s->len, RECOVERY_LEN);
	assert_memory_equal(s->data, known, RECOVERY_LEN);
}

static void assert_is_none(const char *text)
{
	struct secret *s = NULL;
	if (parse(text, &s))
		fail_msg("'%s' was taken for a recovery key", text);
	assert_null(s);
}

static void generated_keys(void **state)
{
	AUTOSECRET struct secret *a = NULL;
	AUTOSECRET struct secret *b = NULL;
	AUTOSECRET struct secret *again = NULL;
	bool found = false;
	(void)state;
	assert_ok(keystore_generate_recovery(&a, &e));
	assert_ok(keystore_generate_recovery(&b, &e));
	assert_int_equal(a->len, RECOVERY_LEN);
	assert_false(secret_equal(a, b));
	for (size_t i = 0; i < a->len; i++)
		if (i % 5 == 4)
			assert_int_equal(a->data[i], '-');
		else
			assert_true(isupper(a->data[i]) || (a->data[i] >= '2' && a->data[i] <= '7'));
	assert_ok(recovery_parse(a, &found, &again, &e));
	assert_true(found);
	assert_true(secret_equal(a, again));
}

static void every_way_to_write_it(void **state)
{
	char lower[sizeof(known)], confused[sizeof(known)];
	(void)state;
	assert_reads_as_known(known);
	for (size_t i = 0; i < sizeof(known); i++) {
		lower[i] = (char)tolower((unsigned char)known[i]);
		confused[i] = known[i] == 'O' ? '0' : known[i] == 'I' ? '1' : known[i] == 'B' ? '8' : known[i];
	}
	assert_reads_as_known(lower);
	assert_reads_as_known(confused);
	assert_reads_as_known("AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPQ");
	assert_reads_as_known(" AAAQ EAYE AUDA OCAJ BIFQ YDIO B4IB CEQT CQKR MFYY DENB WHA5 DYPQ\n");
	assert_reads_as_known("AAAQ-EAYE-AUDA-OCAJ-BIFQ-YDIO-B4IB-CEQT-\nCQKR-MFYY-DENB-WHA5-DYPQ\r\n");
}

static void what_is_none(void **state)
{
	char longer[sizeof(known) + 2], odd[sizeof(known)];
	(void)state;
	assert_is_none("correct horse battery staple");
	assert_is_none("-");
	assert_is_none("AAAQ-EAYE");
	snprintf(longer, sizeof(longer), "%sA", known);
	assert_is_none(longer);
	memcpy(odd, known, sizeof(odd));
	odd[0] = '9';
	assert_is_none(odd);
	odd[0] = '=';
	assert_is_none(odd);
	/* The four bits behind the 256th are zero. */
	memcpy(odd, known, sizeof(odd));
	odd[RECOVERY_LEN - 1] = 'B';
	assert_is_none(odd);
	odd[RECOVERY_LEN - 1] = 'A';
	struct secret *s = NULL;
	assert_true(parse(odd, &s));
	secret_free(s);
}

static void bytes_after_a_zero_count(void **state)
{
	AUTOSECRET struct secret *s = NULL;
	struct secret *out = NULL;
	bool found = true;
	(void)state;
	assert_ok(secret_copy(known, sizeof(known), &s, &e)); /* the terminating zero too */
	assert_ok(recovery_parse(s, &found, &out, &e));
	assert_false(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generated_keys),
		cmocka_unit_test(every_way_to_write_it),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(bytes_after_a_zero_count),
	};
	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
