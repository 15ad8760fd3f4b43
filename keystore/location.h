/* Where things are when nobody says so. */
#ifndef KEYSTORE_LOCATION_H
#define KEYSTORE_LOCATION_H

#include "base/error.h"

/* "kvmcrypt" in the directory that this variable of the XDG specification names, else below HOME. Caller frees. */
int location_home(const char *variable, const char *below_home, char **ret, struct error *e);

#endif
