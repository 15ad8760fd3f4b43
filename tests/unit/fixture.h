/* A private directory for each test, and the keystore tests' common tools. */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include "cmocka_all.h"

#include "base/cleanup.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char test_dir[64];

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int setup_dir(void **state)
{
	(void)state;
	strcpy(test_dir, "/tmp/kvmcrypt-unit.XXXXXX");
	char pins[80];
	if (!mkdtemp(test_dir))
		return -1;
	snprintf(pins, sizeof(pins), "%s/pins", test_dir);
	return setenv("KVMCRYPT_PINS", pins, 1);
}

static inline int teardown_dir(void **state)
{
	(void)state;
	remove_tree(test_dir);
	return 0;
}

/* test_dir/name; a few live at once. */
static inline const char *in_dir(const char *name)
{
	static char bufs[8][256];
	static unsigned next;
	char *buf = bufs[next++ % 8];
	snprintf(buf, sizeof(bufs[0]), "%s/%s", test_dir, name);
	return buf;
}

#define TEST_IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, setup_dir, teardown_dir)

#endif
