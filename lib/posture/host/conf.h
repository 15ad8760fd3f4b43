/* libvirt's configuration files, read by the lenses that come with it (libaugeas). */
#ifndef LIB_POSTURE_HOST_CONF_H
#define LIB_POSTURE_HOST_CONF_H

#include "lib/posture/host/host.h"

/* Ends what host_conf_get() began. */
void conf_close(struct host *h);

#endif
