/* The checks of topic "process" that have files of their own. */
#ifndef LIB_POSTURE_TOPIC_PROCESS_H
#define LIB_POSTURE_TOPIC_PROCESS_H

#include "lib/posture/look.h"

void process_look_core(struct posture_look *l);
void process_look_swap(struct posture_look *l);
void process_look_passthrough(struct posture_look *l);
void process_look_devices(struct posture_look *l);
void process_look_binary(struct posture_look *l);
void process_look_side_channels(struct posture_look *l);

#endif
