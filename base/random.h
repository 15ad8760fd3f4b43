/* Random bytes that a key may be made of. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/error.h"

#include <stddef.h>

/* All len bytes, from the kernel. */
int random_bytes(void *ret, size_t len, struct error *e);

#endif
