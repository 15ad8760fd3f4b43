#include "lib/serve/job.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"
#include "lib/volume/state.h"
#include "lib/volume/users.h"

#include "lib/guest/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Another process may touch the same record between our read and our write. */
#define PUT_TRIES 8

static void forget_look(struct job *j)
{
	guest_domain_xml_clear(&j->xml);
	guest_image_clear(&j->image);
	if (j->domain)
		virDomainFree(j->domain);
	j->domain = NULL;
}

void job_clear(struct job *j)
{
	forget_look(j);
	volume_release(&j->hold);
}

int job_hold(struct job *j, const struct record *r, bool unfinished, struct error *e)
{
	int result = volume_hold(j->env, r->uuid, NULL, unfinished ? HOLD_UNFINISHED : 0, &j->hold, e);
	/* With two images about, the domain is what tells which one it uses. */
	if (result == 0 && volume_state_flags(j->hold.record->state) & STATE_TWO_IMAGES)
		result = volume_check_ready(j->hold.record, e);
	return result;
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
			 "domain %s has %s below %s as %s: merge that first (`virsh blockcommit %s %s --active "
			 "--pivot` while it runs)",
			 virDomainGetName(j->domain), r->path, use->top, use->target, virDomainGetName(j->domain),
			 use->target);
}

int job_begin(struct job *j, const struct record *r, struct volume_attached *ret, struct error *e)
{
	forget_look(j);
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

int job_forget_unused(const struct job *j, const struct record *r, struct error *e)
{
	struct guest_image image;
	struct guest_user user = { 0 };
	/* Without a name: only the secret counts. */
	guest_image_begin(&image, j->g, r->uuid);
	int result = guest_user_any(&image, NULL, GUEST_EVERYWHERE, &user, e);
	return result < 0 || user.place ? result : guest_secret_forget(j->g, r->uuid, NULL, e);
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

int job_note_domain(const struct job *j, const struct volume_attached *a, bool attached, struct error *e)
{
	const char *action = attached ? "attach" : "detach";
	for (int i = 0; i < PUT_TRIES; i++) {
		AUTORECORD struct record *fresh = NULL;
		bool changed = attached;
		int result = keystore_get(j->env->ks, j->hold.uuid, &fresh, e);
		if (result == 0)
			result = keystore_reveal(j->env->ks, &fresh, 1, action, a->domain, e);
		if (result == 0 && attached)
			result = record_add_domain(fresh, a->domain_uuid, a->domain, a->target, e);
		if (result == 0)
			result = drop_stale(j->g, fresh, a, &changed, e);
		if (result < 0)
			return result;
		if (!attached)
			changed = record_remove_domain(fresh, a->domain_uuid, NULL) || changed;
		if (!changed)
			return 0;
		result = keystore_put(j->env->ks, fresh, action, a->domain, e);
		if (result != -ESTALE)
			return result;
	}
	return error_set(e, ERROR_BUSY, ESTALE, "the record of %s changes all the time", j->hold.record->path);
}
