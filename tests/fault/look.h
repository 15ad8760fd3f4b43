/*
 * What a case looks like, as text: of the keystore and of every file what may not change by chance. Two
 * looks of one text are one state. What may never be has a "!" in it.
 */
#ifndef TESTS_FAULT_LOOK_H
#define TESTS_FAULT_LOOK_H

#include "tests/fault/case.h"
#include "tests/fault/volume.h"

#define LOOK_MAX 8192

/* What the volumes were before a case: their keys and data. */
struct look_base {
	size_t n;
	struct {
		char path[PATH_MAX], passphrase[64];
		struct volume_look look;
	} volume[4];
	char root[64];		/* ID of the root key */
};

/*
 * keystore: its name in the case's directory. base: what passphrases, keys and data are compared with,
 * "same" or "new", data "same" or "other". NULL: with nothing. check: the whole store and its slots, too.
 */
void look_at(const struct place *p, const char *keystore, const struct look_base *base, bool check, char *ret);

/* Takes what is there now as the base. */
void look_base_take(const struct place *p, const char *keystore, struct look_base *ret);
void look_base_free(struct look_base *b);

/* What a look without the check of the store would have been. */
const char *look_without_store(const char *text);

/* Is it in order? No "!" in it, and no record in the middle of a workflow. */
bool look_is_sound(const char *text);

/*
 * Is each volume in each of its points as in one or the other, everything else as in one of them? So stands
 * what does two things one after the other, and did one.
 */
bool look_is_between(const char *text, const char *before, const char *after);

#endif
