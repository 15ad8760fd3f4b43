/* libaugeas: what this program calls of it. */
#include "base/library/define.h"

#include <augeas.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, aug_get, 3, const augeas *, const char *, const char **) \
	F(int, aug_load, 1, augeas *) \
	F(int, aug_match, 3, const augeas *, const char *, char ***) \
	F(int, aug_rm, 2, augeas *, const char *) \
	F(int, aug_set, 3, augeas *, const char *, const char *) \
	F(int, aug_text_retrieve, 5, struct augeas *, const char *, const char *, const char *, const char *) \
	F(int, aug_transform, 4, augeas *, const char *, const char *, int) \
	FREE(aug_close, augeas *) \
	Z(augeas *, aug_init, 3, const char *, const char *, unsigned int)

LIBRARY(augeas_load, "libaugeas", "libaugeas0", ERROR_FAILED, FUNCTIONS, NULL, "libaugeas.so.0")
LIBRARY_NOTE("augeas", "libvirt's configuration files", "suggested", "\"libaugeas.so.0\"")
