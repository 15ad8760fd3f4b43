/* keystore/change: several records in one transaction. */
#include "keystore_fixture.h"

#include <errno.h>

static struct record *revealed(struct keystore *ks, const char *path)
{
	struct record *r = NULL;
	assert_ok(keystore_find_path(ks, path, &r, &e));
	assert_ok(keystore_peek(ks, r, &e));
	return r;
}

static uint64_t volumes(struct keystore *ks)
{
	struct keystore_status s;
	assert_ok(keystore_status(ks, &s, &e));
	return s.volumes;
}

static void all_at_once(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *base = store_record(ks, "/srv/base");
	AUTORECORD struct record *old = store_record(ks, "/srv/v");
	AUTORECORD struct record *layer = make_record("/srv/v");
	const struct keystore_change changes[] = { { .record = layer },
						   { .record = base },
						   { .record = old, .remove = true } };
	(void)state;
	uuid_copy(layer->parent, base->uuid);
	base->role = RECORD_LAYER;
	/* The new one takes the path of the one that goes. */
	assert_ok(keystore_apply(ks, changes, 3, "commit", NULL, &e));
	assert_int_equal(layer->revision, 1);
	assert_int_equal(base->revision, 2);
	AUTORECORD struct record *got = revealed(ks, "/srv/v");
	assert_int_equal(uuid_compare(got->uuid, layer->uuid), 0);
	assert_int_equal(uuid_compare(got->parent, base->uuid), 0);
	assert_int_equal(volumes(ks), 2);
	/* And again: what is in hand is what is stored. */
	assert_ok(keystore_put(ks, layer, "x", NULL, &e));
	assert_check(ks, NULL);
}

static void or_none(void **state)
{
	AUTOKEYSTORE struct keystore *ks = make_keystore("k");
	AUTORECORD struct record *a = store_record(ks, "/srv/a");
	AUTORECORD struct record *b = store_record(ks, "/srv/b");
	AUTORECORD struct record *fresh = make_record("/srv/new");
	AUTORECORD struct record *stale = revealed(ks, "/srv/b");
	AUTORECORD struct record *taken = make_record("/srv/b");
	const struct keystore_change changes[] = { { .record = fresh },
						   { .record = a, .remove = true },
						   { .record = stale } };
	const struct keystore_change twice[] = { { .record = fresh }, { .record = a }, { .record = taken } };
	(void)state;
	assert_ok(keystore_put(ks, b, "x", NULL, &e));
	assert_fails(keystore_apply(ks, changes, 3, "y", NULL, &e), ERROR_BUSY, "changed by another process");
	assert_int_equal(e.err, ESTALE);
	assert_fails(keystore_apply(ks, twice, 3, "y", NULL, &e), ERROR_EXISTS, "/srv/b already");
	assert_int_equal(fresh->revision, 0);
	assert_int_equal(a->revision, 1);
	assert_int_equal(volumes(ks), 2);
	AUTORECORD struct record *hidden = NULL;
	assert_ok(keystore_find_path(ks, "/srv/a", &hidden, &e));
	hidden->generation++;
	assert_fails(keystore_put(ks, hidden, "y", NULL, &e), ERROR_FAILED, "must be revealed");
	assert_check(ks, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { KEYSTORE_TEST(all_at_once), KEYSTORE_TEST(or_none) };
	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
