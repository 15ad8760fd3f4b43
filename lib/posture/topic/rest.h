/* The checks of topic "rest" that have a file of their own. */
#ifndef LIB_POSTURE_TOPIC_REST_H
#define LIB_POSTURE_TOPIC_REST_H

#include "lib/posture/look.h"

void rest_look_secrets(struct posture_look *l);
void rest_look_master_key(struct posture_look *l);
void rest_look_header(struct posture_look *l);

#endif
