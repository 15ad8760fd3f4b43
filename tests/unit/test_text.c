/* base/text: sizes, durations, times, hex; base/json. */
#include "cmocka_all.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

static struct error e;

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {
		{ "0", 0 }, { "4096", 4096 }, { "1K", 1024 }, { "512m", 512ull << 20 }, { "20G", 20ull << 30 },
		{ "20GiB", 20ull << 30 }, { "1T", 1ull << 40 }, { "2P", 2ull << 50 }, { "15E", 15ull << 60 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "", "G", "-1", "+1", "1.5G", "20GB", "20Gi", "20 G", " 20G", "20Gx",
					   "16E", "18446744073709551616", "0x10", "1KK", "1iB" };
	uint64_t n;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_ok(text_parse_size(good[i].text, &n, &e));
		assert_true(n == good[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		n = 77;
		assert_fails(text_parse_size(bad[i], &n, &e), ERROR_USAGE, "is not a size");
		assert_true(n == 77);
	}
}

static void sizes_are_written(void **state)
{
	char buf[32];
	(void)state;
	assert_string_equal(text_size(0, buf, sizeof(buf)), "0");
	assert_string_equal(text_size(1023, buf, sizeof(buf)), "1023");
	assert_string_equal(text_size(20ull << 30, buf, sizeof(buf)), "20G");
	assert_string_equal(text_size(3ull << 29, buf, sizeof(buf)), "1.5G");
	assert_string_equal(text_size(UINT64_MAX, buf, sizeof(buf)), "16.0E");
}

static void durations(void **state)
{
	static const char *const bad[] = { "", "d", "-1d", "1y", "1dd", "90 d", "4294967296", "1.5h" };
	uint64_t n;
	(void)state;
	assert_ok(text_parse_duration("90d", &n, &e));
	assert_true(n == 90 * 86400);
	assert_ok(text_parse_duration("12h", &n, &e));
	assert_true(n == 12 * 3600);
	assert_ok(text_parse_duration("30m", &n, &e));
	assert_true(n == 1800);
	assert_ok(text_parse_duration("45s", &n, &e));
	assert_true(n == 45);
	assert_ok(text_parse_duration("1w", &n, &e));
	assert_true(n == 7 * 86400);
	assert_fails(text_parse_duration("90", &n, &e), ERROR_USAGE, "write it as 90d");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_fails(text_parse_duration(bad[i], &n, &e), ERROR_USAGE, "is not a duration");
}

static void durations_are_written(void **state)
{
	static const char *const typed[] = { "90d", "8h", "36h", "90m", "45s", "7d" };
	char buf[32];
	uint64_t seconds;
	(void)state;
	for (size_t i = 0; i < sizeof(typed) / sizeof(*typed); i++) {
		assert_ok(text_parse_duration(typed[i], &seconds, &e));
		assert_string_equal(text_duration(seconds, buf, sizeof(buf)), typed[i]);
	}
	assert_string_equal(text_duration(0, buf, sizeof(buf)), "0s");
	assert_string_equal(text_age(36 * 3600, buf, sizeof(buf)), "1d");
	assert_string_equal(text_age(59, buf, sizeof(buf)), "59s");
}

static void times(void **state)
{
	char buf[32];
	(void)state;
	assert_null(text_time(0, buf, sizeof(buf)));
	assert_string_equal(text_time(1, buf, sizeof(buf)), "1970-01-01T00:00:01Z");
	assert_string_equal(text_time(1795456800, buf, sizeof(buf)), "2026-11-23T18:00:00Z");
}

static void hex(void **state)
{
	char buf[9];
	(void)state;
	assert_string_equal(text_hex("\x00\x7f\x80\xff", 4, buf), "007f80ff");
	assert_string_equal(text_hex("", 0, buf), "");
}

static void base64url(void **state)
{
	static const char *const bad[] = { "A", "AAAAA", "AA=A", "A*AA", "A A" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(text_base64url(bad[i], strlen(bad[i])));
	static const char *const good[][2] = {
		{ "", "" }, { "YQ", "a" }, { "YWI", "ab" }, { "YWJj", "abc" }, { "Pz8_Pj4-", "?\?\?>>>" }
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char *text = text_base64url(good[i][0], strlen(good[i][0]));
		assert_non_null(text);
		assert_string_equal(text, good[i][1]);
		free(text);
	}
}

/* What QEMU says of a chain of backing files. */
static void deep_json(void **state)
{
	enum { LAYERS = 200 };
	static const char layer[] = "{\"backing-image\":";
	char text[LAYERS * sizeof(layer) + LAYERS + 8] = "";
	size_t n = 0;
	(void)state;
	for (int i = 0; i < LAYERS; i++)
		n += (size_t)sprintf(text + n, "%s", layer);
	n += (size_t)sprintf(text + n, "1");
	memset(text + n, '}', LAYERS);
	n += LAYERS;
	struct json_object *o = json_parse(text, n, 1024);
	assert_non_null(o);
	json_object_put(o);
	assert_null(json_parse(text, n, LAYERS / 2));
	assert_null(json_parse(text, n - 1, 1024));
	assert_null(json_parse("", 0, 1024));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64url),
		cmocka_unit_test(sizes_are_read), cmocka_unit_test(sizes_are_written),
		cmocka_unit_test(durations),
		cmocka_unit_test(durations_are_written),	  cmocka_unit_test(times),
		cmocka_unit_test(hex), cmocka_unit_test(deep_json),
	};
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
