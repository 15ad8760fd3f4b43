/* What libcryptsetup needs of the machine and blames on the header where it is missing. */
#ifndef BASE_SURROUNDINGS_H
#define BASE_SURROUNDINGS_H

#include "base/error.h"

/* ERROR_FAILED says what is not there: /dev/urandom, or /proc (a container or chroot without them). */
int surroundings_check(struct error *e);

#endif
