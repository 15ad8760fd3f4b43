/* lib/volume/state: how old a key is. */
#include "fixture.h"

#include "lib/volume/state.h"

#include <time.h>

static void a_key_from_the_future_is_due(void **state)
{
	struct record r = { .rotated = (int64_t)time(NULL) };
	(void)state;
	assert_false(volume_key_from_future(&r));
	r.rotated += 60; /* the clock of another host */
	assert_false(volume_key_from_future(&r));
	r.rotated += 3600;
	assert_true(volume_key_from_future(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_key_from_the_future_is_due) };
	return cmocka_run_group_tests_name("age", tests, NULL, NULL);
}
