/* What attach and detach have in common: a domain, a volume, and how the one has the other now. */
#ifndef LIB_SERVE_JOB_H
#define LIB_SERVE_JOB_H

#include "lib/guest/disk.h"
#include "lib/guest/users.h"
#include "lib/image/mapping/mapping.h"
#include "lib/serve/attach.h"
#include "lib/volume/hold.h"

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
	struct volume_hold hold;	/* from job_hold() on */
};
#define JOB_NEW(env_, g_, p_) { .env = env_, .g = g_, .p = p_, .hold = VOLUME_HOLD_NONE }
void job_clear(struct job *j);

/*
 * Looks: fills all but the hold, anew if it was filled, and the domain's names in *ret. Before job_hold() it is only
 * good for an early refusal. ERROR_NOT_FOUND: no such domain.
 */
int job_begin(struct job *j, const struct record *r, struct volume_attached *ret, struct error *e);

/* How a domain's XML (or NULL) has the volume. */
int job_find_use(const struct job *j, const char *xml, struct guest_use *ret, struct error *e);

/* ERROR_BUSY while somebody's overlay is above the volume: it is in the domain, but no disk that is its own. */
int job_check_on_top(const struct job *j, const struct record *r, struct error *e);

/* The volume for as long as the job lasts. unfinished: also in the middle of a workflow that has one image. */
int job_hold(struct job *j, const struct record *r, bool unfinished, struct error *e);

/* Undefines the secret of a volume, unless a domain mentions it; libvirt itself is the witness. */
int job_forget_unused(const struct job *j, const struct record *r, struct error *e);

/* Into the record that the domain has the volume, or that it has it no more. The volume is held. */
int job_note_domain(const struct job *j, const struct volume_attached *a, bool attached, struct error *e);

#endif
