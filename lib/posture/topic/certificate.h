/* What topics "management" and "console" both say of certificates, and of files that only their owner may read. */
#ifndef LIB_POSTURE_TOPIC_CERTIFICATE_H
#define LIB_POSTURE_TOPIC_CERTIFICATE_H

#include "lib/posture/look.h"

#include <openssl/types.h>

#define CERTIFICATE_WARN_DAYS 30

/* Paths as the host that is looked at names them. */
struct certificate_set {
	const char *certificate, *key, *ca;
	bool server;   /* else a client's */
	bool required; /* it is in use, so a file that is not there is a failure */
};

/* Notes all that is wrong with a certificate, its key and its authority, or that nothing is. */
void certificate_look(struct posture_look *l, const struct certificate_set *set);

/* Notes how long a certificate is good still, as one that is shown by `subject`. */
void certificate_look_days(struct posture_look *l, enum posture_side side, const char *subject, const X509 *cert);

/* Notes whether a server shows the certificate of that file, at `subject`, and how long it is good. */
void certificate_look_served(struct posture_look *l, const char *subject, const X509 *served, const char *file);

/*
 * Notes who may read a file with a key in it; group: its group may, too, if it is that one (its name), NULL: no group.
 * False: there is no such file, and nothing is noted.
 */
bool certificate_look_private(struct posture_look *l, const char *file, const char *group);

/* What `key` is set to in one of libvirt's files, else `otherwise` (not buf). False, and noted: it cannot be read. */
bool certificate_conf(struct posture_look *l, enum host_conf file, const char *key, const char *otherwise, char *buf,
		      size_t len);

#endif
