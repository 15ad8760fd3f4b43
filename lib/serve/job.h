/* What attach and detach have in common: a domain, a volume, and how the one has the other now. */
#ifndef LIB_SERVE_JOB_H
#define LIB_SERVE_JOB_H

#include "lib/guest/disk.h"
#include "lib/guest/users.h"
#include "lib/image/mapping/mapping.h"
#include "lib/serve/attach.h"

struct job {
	const struct volume_env *env;
	struct guest_connection *g;
	const struct volume_attach *p;
	virDomainPtr domain;
	struct guest_domain_xml xml;
	struct guest_image image;
	struct guest_use live, config;	/* how the domain has the volume now */
	bool want_live, want_config;	/* what the caller asks for and the domain has */
	bool mapped;			/* LUKS2: the kernel decrypts, the guest gets a block device */
	char name[MAPPING_NAME_LEN];	/* of that mapping */
	char source[4352];		/* what the domain gets as the disk's source */
	int lock;			/* on a volume that QEMU opens, or -1 */
};
void job_clear(struct job *j);

/* Looks: fills all but the lock, and the domain's names in *ret. ERROR_NOT_FOUND: no such domain. */
int job_begin(struct job *j, const struct record *r, struct volume_attached *ret, struct error *e);

/* How a domain's XML (or NULL) has the volume. */
int job_find_use(const struct job *j, const char *xml, struct guest_use *ret, struct error *e);

/* ERROR_BUSY while somebody's overlay is above the volume: it is in the domain, but no disk that is its own. */
int job_check_on_top(const struct job *j, const struct record *r, struct error *e);

/* The volume's lock, against a rotation, which changes what the secret must be. ready: no workflow may be open. */
int job_lock(struct job *j, const struct record *r, bool ready, struct error *e);

/* Into the record that the domain has the volume, or that it has it no more; takes the lock if the job has none. */
int job_note_domain(const struct job *j, const struct record *r, const struct volume_attached *a, bool attached,
		    struct error *e);

#endif
