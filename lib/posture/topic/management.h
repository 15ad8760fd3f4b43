/* The checks of topic "management" that have files of their own, and what they share. */
#ifndef LIB_POSTURE_TOPIC_MANAGEMENT_H
#define LIB_POSTURE_TOPIC_MANAGEMENT_H

#include "lib/posture/host/probe.h"
#include "lib/posture/look.h"

/*
 * What answered at this host's ports. NULL: none can be asked, which is noted as unknown where the host runs, and is
 * no note where it does not.
 */
const struct host_probes *management_probes(struct posture_look *l);

/* Does libvirt's daemon take connections from other hosts, by "tcp" or "tls"? As it is configured, and why so. */
bool management_is_on(struct posture_look *l, const char *transport, char *why, size_t len);

/* Likewise for TLS, or a port that speaks it. */
bool management_tls_is_on(struct posture_look *l);

/* A text file of the host, without lines that are comments; "" if it is not there. NULL, and noted: unreadable. */
char *management_read(struct posture_look *l, const char *file);

void management_look_sasl(struct posture_look *l);
void management_look_tls_verify(struct posture_look *l);
void management_look_tls_who(struct posture_look *l);
void management_look_both(struct posture_look *l);
void management_look_certificate(struct posture_look *l);
void management_look_served(struct posture_look *l);
void management_look_keys(struct posture_look *l);
void management_look_revocation(struct posture_look *l);
void management_look_socket(struct posture_look *l);
void management_look_access(struct posture_look *l);
void management_look_address(struct posture_look *l);
void management_look_ssh(struct posture_look *l);
void management_look_migration(struct posture_look *l);
void management_look_client_uri(struct posture_look *l);

#endif
