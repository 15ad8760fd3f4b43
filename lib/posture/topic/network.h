/* The checks of topic "network" that look into the kernel. */
#ifndef LIB_POSTURE_TOPIC_NETWORK_H
#define LIB_POSTURE_TOPIC_NETWORK_H

#include "lib/posture/look.h"

void network_look_installed(struct posture_look *l);
void network_look_bridge_nf(struct posture_look *l);
void network_look_advertisements(struct posture_look *l);

#endif
