/* Records that another keystore made, before this one takes them. */
#ifndef LIB_VOLUME_ARRIVE_H
#define LIB_VOLUME_ARRIVE_H

#include "lib/volume/volume.h"

/*
 * Could `create` have made it? Anybody can make a bundle, and what a record says is written to by `header restore` and
 * `resize`. Its paths become canonical, as create has them; numbers are within create's bounds; an image that is
 * there must be the record's, and open with its keys. r is revealed. ERROR_DAMAGED says what is wrong; ERROR_REFUSED
 * for a path with an unsafe step. *ret_present: the image is there.
 */
int volume_arrive(struct record *r, bool *ret_present, struct error *e);

#endif
