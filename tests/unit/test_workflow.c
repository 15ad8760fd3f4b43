/* The engine: every number has its workflow, the record is read under the lock, what an older version left heals. */
#include "keystore_fixture.h"

#include "lib/volume/hold.h"
#include "lib/workflow/resize.h"
#include "lib/workflow/rotate.h"
#include "lib/workflow/workflow.h"

#include <errno.h>
#include <fcntl.h>

static struct keystore *ks;
static struct volume_env env;

static int setup(void **state)
{
	setup_dir(state);
	ks = make_keystore("k");
	env = (struct volume_env){ .ks = ks };
	return 0;
}

static int teardown(void **state)
{
	keystore_free(ks);
	return teardown_dir(state);
}

/* A volume of 4 MiB, revealed. */
static struct record *make_volume(const char *name)
{
	struct record *r = NULL;
	bool existed;
	const struct volume_create p = {
		.path = in_dir(name), .size = 4 << 20, .mode = -1, .uid = (uid_t)-1, .gid = (gid_t)-1,
	};
	assert_ok(volume_create(&env, NULL, &p, &r, &existed, &e));
	assert_ok(keystore_reveal(ks, &r, 1, "test", NULL, &e));
	return r;
}

static struct record *read_again(const struct record *r)
{
	struct record *now = NULL;
	assert_ok(keystore_get(ks, r->uuid, &now, &e));
	assert_ok(keystore_reveal(ks, &now, 1, "test", NULL, &e));
	return now;
}

static int count_slots(const struct record *r)
{
	struct container *c = NULL;
	int n = 0;
	assert_ok(container_open(r->path, IMAGE_FORMAT_AUTO, CONTAINER_LOOK, &c, &e));
	const struct luks_info *info = luks_info(container_luks(c));
	for (int i = 0; i < info->n_keyslots; i++)
		n += info->keyslots[i].active;
	container_free(c);
	return n;
}

static void add_slot(const struct record *r, const struct secret *passphrase)
{
	struct container *c = NULL;
	int slot;
	assert_ok(container_open(r->path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &e));
	assert_ok(luks_add_keyslot(container_luks(c), -1, r->volume_key, passphrase, LUKS_KDF_GENERATED, &slot, &e));
	assert_ok(container_write_back(c, &e));
	container_free(c);
}

static struct volume_recovered recover(const struct record *r)
{
	struct volume_recovered done;
	e = (struct error){ 0 };
	assert_ok(volume_recover(&env, NULL, r->uuid, &done, &e));
	return done;
}

/* ---- the table ---- */

static void test_table(void **state)
{
	(void)state;
#define STATE(number, shown, flags, name)                                        \
	assert_non_null(workflow_of(number));                                     \
	assert_true(workflow_of(number)->judge || workflow_of(number)->verdict);  \
	assert_string_equal(volume_state_name(number), shown);                    \
	assert_int_equal(volume_state_flags(number), flags);                      \
	assert_true(number == workflow_of(number)->begun || number == workflow_of(number)->committed || \
		    number == RECORD_PIVOTING);
	VOLUME_STATES(STATE, STATE)
#undef STATE
	assert_null(workflow_of(RECORD_READY));
	assert_null(workflow_of(4711));
	assert_int_equal(volume_state_flags(RECORD_READY), 0);
	assert_true(volume_state_flags(4711) & STATE_UNKNOWN);
}

/* ---- a newer version, another host ---- */

static void test_newer(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	const struct volume_rotate p = { .without_libvirt = true };
	struct volume_rotated done;
	r->state = 4711;
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	struct volume_recovered rec = recover(r);
	assert_string_equal(rec.outcome, "needs_attention");
	assert_non_null(strstr(rec.detail, "newer kvmcrypt"));
	assert_true(volume_rotate(&env, NULL, r->uuid, &p, &done, &e) < 0);
	assert_int_equal(e.kind, ERROR_BUSY);
	AUTORECORD struct record *now = read_again(r);
	assert_int_equal(now->state, 4711);
	assert_int_equal(count_slots(r), 1);
}

static void test_moved(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	const struct volume_rotate rotate = { .without_libvirt = true };
	const struct volume_resize resize = { .size = 8 << 20 };
	const struct volume_erase erase = { .damaged = true, .missing = true };
	struct volume_rotated rotated;
	struct volume_resized resized;
	bool destroyed;
	r->moved = strdup("host-b");
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	assert_true(volume_rotate(&env, NULL, r->uuid, &rotate, &rotated, &e) < 0);
	assert_int_equal(e.kind, ERROR_REFUSED);
	assert_true(volume_resize(&env, NULL, r->uuid, &resize, &resized, &e) < 0);
	assert_int_equal(e.kind, ERROR_REFUSED);
	assert_true(volume_erase(&env, NULL, r->uuid, &erase, &destroyed, &e) < 0);
	assert_int_equal(e.kind, ERROR_REFUSED);
	assert_non_null(strstr(e.message, "host-b"));
	assert_int_equal(count_slots(r), 1);
}

/* ---- what 030c29a left in records that it called ready ---- */

/* The next passphrase is in a keyslot, and in a record whose state a resize had overwritten. */
static void heal_pending(uint32_t left)
{
	AUTORECORD struct record *r = make_volume("v.raw");
	AUTOSECRET struct secret *kept = NULL;
	assert_ok(secret_copy(r->passphrase->data, r->passphrase->len, &kept, &e));
	assert_ok(secret_generate_passphrase(&r->pending, &e));
	add_slot(r, r->pending);
	r->state = left;
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	assert_int_equal(count_slots(r), 2);
	recover(r);
	AUTORECORD struct record *now = read_again(r);
	assert_int_equal(now->state, RECORD_READY);
	assert_null(now->pending);
	assert_true(secret_equal(now->passphrase, kept));
	assert_int_equal(count_slots(r), 1);
}

static void test_ready_with_pending(void **state)
{
	(void)state;
	heal_pending(RECORD_READY);
}

static void test_resizing_with_pending(void **state)
{
	(void)state;
	heal_pending(RECORD_RESIZING);
}

/* The record is behind: the disk has the next passphrase only. */
static void test_ready_with_only_pending(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	struct container *c = NULL;
	assert_ok(secret_generate_passphrase(&r->pending, &e));
	add_slot(r, r->pending);
	assert_ok(container_open(r->path, IMAGE_FORMAT_AUTO, CONTAINER_CHANGE, &c, &e));
	assert_ok(luks_remove_keyslot(container_luks(c), 0, &e));
	assert_ok(container_write_back(c, &e));
	container_free(c);
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	assert_string_equal(recover(r).outcome, "finished");
	AUTORECORD struct record *now = read_again(r);
	assert_true(secret_equal(now->passphrase, r->pending));
	assert_null(now->pending);
	assert_int_equal(count_slots(r), 1);
}

static void test_ready_with_copy(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	assert_true(asprintf(&r->beside, "%s/.v.raw.tag.kvmcrypt-new", test_dir) > 0);
	close(open(r->beside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_ok(secret_random(r->volume_key->len, &r->next_volume_key, &e));
	assert_ok(secret_generate_passphrase(&r->pending, &e));
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	assert_string_equal(recover(r).outcome, "undone");
	AUTORECORD struct record *now = read_again(r);
	assert_int_equal(now->state, RECORD_READY);
	assert_null(now->next_volume_key);
	assert_null(now->beside);
	assert_int_equal(access(r->beside, F_OK), -1);
}

/* ---- nothing is decided before the lock ---- */

/* What the caller saw of the volume is long out of date when it has the lock. */
static void test_read_again(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	const struct volume_resize grow = { .size = 16 << 20 }, smaller = { .size = 8 << 20 };
	struct volume_resized done;
	assert_ok(volume_hold(&env, r->uuid, NULL, 0, &h, &e));
	assert_int_equal(h.record->revision, r->revision);
	volume_release(&h);
	assert_ok(volume_resize(&env, NULL, r->uuid, &grow, &done, &e));
	assert_ok(volume_hold(&env, r->uuid, "test", 0, &h, &e));
	assert_int_equal(h.record->size, 16 << 20);
	assert_non_null(h.record->passphrase);
	volume_release(&h);
	assert_true(volume_resize(&env, NULL, r->uuid, &smaller, &done, &e) < 0);
	assert_int_equal(e.kind, ERROR_REFUSED);
}

/* A caller that holds the lock hands it on: taking it twice would wait for itself. */
static void test_caller_holds(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	AUTOHOLD struct volume_hold second = VOLUME_HOLD_NONE;
	const struct volume_rotate p = { .without_libvirt = true };
	struct volume_rotated done = { 0 };
	bool unchanged;
	assert_ok(volume_hold(&env, r->uuid, "test", 0, &h, &e));
	const struct flow_call call = { .env = &env, .volume = r->uuid, .params = &p, .result = &done, .hold = &h };
	assert_ok(workflow_run(&workflow_rotate, &call, NULL, &unchanged, &e));
	assert_non_null(h.record);
	assert_int_equal(h.record->generation, 2);
	assert_true(volume_hold(&env, r->uuid, NULL, HOLD_TRY, &second, &e) < 0);
	assert_int_equal(e.kind, ERROR_BUSY);
}

/* A passphrase that opens nothing is not rotated: nobody would know the keyslots that are there. */
static void test_rotate_proves(void **state)
{
	(void)state;
	AUTORECORD struct record *r = make_volume("v.raw");
	const struct volume_rotate p = { .without_libvirt = true };
	struct volume_rotated done;
	secret_free(r->passphrase);
	assert_ok(secret_generate_passphrase(&r->passphrase, &e));
	assert_ok(keystore_put(ks, r, "test", NULL, &e));
	assert_true(volume_rotate(&env, NULL, r->uuid, &p, &done, &e) < 0);
	assert_int_equal(e.kind, ERROR_BAD_KEY);
	AUTORECORD struct record *now = read_again(r);
	assert_int_equal(now->state, RECORD_READY);
	assert_int_equal(now->revision, r->revision);
	assert_int_equal(count_slots(r), 1);
}

/* ---- what a record knows of its base ---- */

static void test_parent(void **state)
{
	AUTORECORD struct record *base = make_volume("base.qcow2");
	AUTORECORD struct record *over = NULL;
	AUTORECORD struct record *foreign = NULL;
	bool existed;
	(void)state;
	const struct volume_create p = {
		.path = in_dir("over.qcow2"), .backing = base->path, .mode = -1, .uid = (uid_t)-1, .gid = (gid_t)-1,
	};
	assert_ok(volume_create(&env, NULL, &p, &over, &existed, &e));
	assert_memory_equal(over->parent, base->uuid, sizeof(uuid_t));
	assert_null(over->parent_format);
	int fd = open(in_dir("plain.raw"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	const struct volume_create q = {
		.path = in_dir("other.qcow2"),
		.backing = in_dir("plain.raw"),
		.mode = -1,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	assert_ok(volume_create(&env, NULL, &q, &foreign, &existed, &e));
	assert_true(uuid_is_null(foreign->parent));
	assert_string_equal(foreign->parent_format, "raw");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_table),
		TEST(test_newer),
		TEST(test_moved),
		TEST(test_ready_with_pending),
		TEST(test_resizing_with_pending),
		TEST(test_ready_with_only_pending),
		TEST(test_ready_with_copy),
		TEST(test_read_again),
		TEST(test_caller_holds),
		TEST(test_rotate_proves),
		TEST(test_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
