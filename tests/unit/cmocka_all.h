/* cmocka wants these four before it, in this order; and a few words that it lacks. */
#ifndef TESTS_UNIT_CMOCKA_ALL_H
#define TESTS_UNIT_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

#include <string.h>

/* The call succeeds; if not, its error is shown. e is a struct error in scope. */
#define assert_ok(call)                                                                            \
	do {                                                                                       \
		int assert_ok_r_ = (call);                                                         \
		if (assert_ok_r_ < 0)                                                              \
			fail_msg("%s: %d, %s", #call, assert_ok_r_, e.message);                    \
	} while (0)

/* The call fails with this kind, and its message has this text in it. */
#define assert_fails(call, want, text)                                                             \
	do {                                                                                       \
		e = (struct error){ 0 };                                                           \
		int assert_fails_r_ = (call);                                                      \
		if (assert_fails_r_ >= 0)                                                          \
			fail_msg("%s succeeded", #call);                                           \
		if (e.kind != (want) || !strstr(e.message, (text)) || e.err != -assert_fails_r_)   \
			fail_msg("%s: kind %d, result %d, '%s'", #call, e.kind, assert_fails_r_,   \
				 e.message);                                                       \
	} while (0)

#endif
