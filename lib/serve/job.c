#include "lib/serve/job.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Another process may touch the same record between our read and our write. */
#define PUT_TRIES 8

void job_clear(struct job *j)
{
	guest_domain_xml_clear(&j->xml);
	guest_image_clear(&j->image);
	if (j->domain)
		virDomainFree(j->domain);
	cleanup_close(&j->lock);
}

/* A mapping needs no lock here, and opening it takes the same lock for itself. */
int job_lock(struct job *j, const struct record *r, bool ready, struct error *e)
{
	AUTORECORD struct record *now = NULL;
	if (j->mapped)
		return 0;
	int result = volume_lock(j->env->ks, r->uuid, true, &j->lock, e);
	if (result == 0)
		result = keystore_get(j->env->ks, r->uuid, &now, e);
	if (result < 0)
		return result;
	/* With two images about, the domain is what tells which one it uses. */
	bool matters = ready || volume_state_flags(now->state) & STATE_TWO_IMAGES;
	return matters ? volume_check_ready(now, e) : 0;
}

int job_find_use(const struct job *j, const char *xml, struct guest_use *ret, struct error *e)
{
	struct guest_use use = { 0 };
	int result = guest_image_find(&j->image, xml, &use, e);
	if (result < 0)
		return result;
	/* A disk on the mapping is ours as it is; one on the file below it would be the ciphertext. */
	if (j->mapped)
		use.our_secret = use.decrypted && !use.encrypted;
	*ret = use;
	return 0;
}

int job_check_on_top(const struct job *j, const struct record *r, struct error *e)
{
	const struct guest_use *use = !j->live.found && j->live.below ? &j->live : &j->config;
	if (use->found || !use->below)
		return 0;
	return error_set(e, ERROR_BUSY, EBUSY,
			 "domain %s has %s below %s as %s: merge that first (`virsh blockcommit %s %s --active --pivot` while it runs)",
			 virDomainGetName(j->domain), r->path, use->top, use->target, virDomainGetName(j->domain),
			 use->target);
}

int job_begin(struct job *j, const struct record *r, struct volume_attached *ret, struct error *e)
{
	int result = guest_find_domain(j->g, j->p->domain, &j->domain, e);
	if (result == 0)
		result = guest_domain_xml(j->domain, &j->xml, e);
	if (result < 0)
		return result;
	j->mapped = volume_is_mapped_for_guests(r);
	if (j->mapped) {
		volume_guest_mapping(r, j->name, sizeof(j->name));
		snprintf(j->source, sizeof(j->source), "/dev/mapper/%s", j->name);
	} else {
		snprintf(j->source, sizeof(j->source), "%s", r->path);
	}
	if (j->mapped && !j->g->local)
		return error_set(e, ERROR_USAGE, EREMOTE,
				 "%s is LUKS2: its block device is this host's, and %s is another", r->path, j->g->uri);
	if ((result = volume_image(j->g, r, &j->image, e)) < 0 ||
	    (result = job_find_use(j, j->xml.live, &j->live, e)) < 0 ||
	    (result = job_find_use(j, j->xml.config, &j->config, e)) < 0)
		return result;
	snprintf(ret->domain, sizeof(ret->domain), "%s", virDomainGetName(j->domain));
	virDomainGetUUID(j->domain, ret->domain_uuid);
	j->want_live = j->xml.live && !j->p->only_config;
	j->want_config = j->xml.config && !j->p->only_live;
	if (j->p->only_live && !j->xml.live)
		return error_set(e, ERROR_FAILED, EINVAL, "domain %s is not running, so --live cannot be", ret->domain);
	if (j->p->only_config && !j->xml.config)
		return error_set(e, ERROR_FAILED, EINVAL, "domain %s has no persistent configuration for --config",
				 ret->domain);
	return 0;
}

/* Entries of this name whose domain libvirt has no more: it was undefined, and perhaps defined anew. */
static int drop_stale(struct guest_connection *g, struct record *r, const struct volume_attached *a, bool *ret_any,
		      struct error *e)
{
	for (size_t i = r->n_domains; i-- > 0;) {
		AUTODOMAIN virDomainPtr d = NULL;
		uuid_t entry, now;
		uuid_copy(entry, r->domains[i].uuid);
		if (!uuid_compare(entry, a->domain_uuid) || strcmp(r->domains[i].name, a->domain) != 0)
			continue;
		int result = guest_find_recorded(g, entry, a->domain, &d, e);
		if (result < 0)
			return result;
		if (d && virDomainGetUUID(d, now) == 0 && !uuid_compare(now, entry))
			continue;
		*ret_any = record_remove_domain(r, entry, NULL) || *ret_any;
		i = r->n_domains;
	}
	return 0;
}

int job_note_domain(const struct job *j, const struct record *r, const struct volume_attached *a, bool attached,
		    struct error *e)
{
	AUTOCLOSE int lock = -1;
	const struct volume_env *env = j->env;
	int result = j->lock >= 0 ? 0 : volume_lock(env->ks, r->uuid, true, &lock, e);
	for (int i = 0; result == 0 && i < PUT_TRIES; i++) {
		AUTORECORD struct record *fresh = NULL;
		result = keystore_get(env->ks, r->uuid, &fresh, e);
		if (result == 0)
			result = keystore_reveal(env->ks, &fresh, 1, attached ? "attach" : "detach", a->domain, e);
		if (result == 0 && attached)
			result = record_add_domain(fresh, a->domain_uuid, a->domain, a->target, e);
		bool changed = attached;
		if (result == 0)
			result = drop_stale(j->g, fresh, a, &changed, e);
		if (result < 0)
			return result;
		if (!attached)
			changed = record_remove_domain(fresh, a->domain_uuid, NULL) || changed;
		if (!changed)
			return 0;
		result = keystore_put(env->ks, fresh, attached ? "attach" : "detach", a->domain, e);
		if (result != -ESTALE)
			return result;
		result = 0;
	}
	return result < 0 ? result : error_set(e, ERROR_BUSY, ESTALE, "the record of %s changes all the time", r->path);
}
