/* base/error: results, printable messages, context, kinds. */
#include "cmocka_all.h"

#include <errno.h>

static void result_and_fields(void **state)
{
	struct error e = { 0 };
	(void)state;
	assert_int_equal(error_set(&e, ERROR_BUSY, EBUSY, "%s is %d", "a", 7), -EBUSY);
	assert_int_equal(e.kind, ERROR_BUSY);
	assert_int_equal(e.err, EBUSY);
	assert_string_equal(e.message, "a is 7");
	assert_int_equal(error_errno(&e, ERROR_FAILED, -ENOENT, "x"), -ENOENT);
	assert_string_equal(e.message, "x: No such file or directory");
}

static void never_zero(void **state)
{
	struct error e = { 0 };
	(void)state;
	assert_int_equal(error_set(&e, ERROR_FAILED, 0, "x"), -EIO);
	assert_int_equal(error_set(&e, ERROR_FAILED, -3, "x"), -EIO);
	assert_int_equal(error_set(NULL, ERROR_FAILED, EPERM, "x"), -EPERM);
	assert_int_equal(error_prefix(NULL, "x"), -EIO);
}

static void control_characters_are_replaced(void **state)
{
	struct error e = { 0 };
	(void)state;
	error_set(&e, ERROR_FAILED, EIO, "bad name '%s'", "a\033[2J\n\tb\177\xc3\xa9");
	assert_string_equal(e.message, "bad name 'a?[2J??b?\xc3\xa9'");
	error_prefix(&e, "in\r%s", "\001");
	assert_string_equal(e.message, "in??: bad name 'a?[2J??b?\xc3\xa9'");
}

static void long_texts_are_cut(void **state)
{
	struct error e = { 0 };
	char big[4000];
	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	error_set(&e, ERROR_FAILED, EIO, "%s", big);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	error_prefix(&e, "%s", big);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	/* The reason survives a long path. */
	error_errno(&e, ERROR_FAILED, ENOSPC, "%s", big);
	assert_non_null(strstr(e.message, "No space left"));
}

static void kinds(void **state)
{
	(void)state;
	assert_int_equal(error_kind_of_errno(ENOENT), ERROR_NOT_FOUND);
	assert_int_equal(error_kind_of_errno(-EEXIST), ERROR_EXISTS);
	assert_int_equal(error_kind_of_errno(EBUSY), ERROR_BUSY);
	assert_int_equal(error_kind_of_errno(EIO), ERROR_FAILED);
	assert_string_equal(error_kind_name(ERROR_SEALED), "sealed");
	assert_string_equal(error_kind_name((enum error_kind)99), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(result_and_fields),  cmocka_unit_test(never_zero),
		cmocka_unit_test(control_characters_are_replaced),
		cmocka_unit_test(long_texts_are_cut), cmocka_unit_test(kinds),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
