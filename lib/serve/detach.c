#include "lib/serve/job.h"
#include "lib/serve/open.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"

#include "lib/guest/secret.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A live detach ends when the guest lets go of the disk. */
#define DETACH_SECONDS 20
#define TELL_SECONDS 2

static int detach_live(const struct job *j, const struct volume_attached *a, const char *path, struct error *e)
{
	AUTOFREE char *disk = guest_disk_extract(j->xml.live, j->live.target);
	if (!disk)
		return error_set(e, ERROR_FAILED, ENOENT, "disk %s of domain %s went away", j->live.target, a->domain);
	if (virDomainDetachDeviceFlags(j->domain, disk, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return guest_error(e, "cannot detach %s from running domain %s", path, a->domain);
	for (int i = 0; i < DETACH_SECONDS * 20; i++) {
		AUTOFREE char *now = virDomainGetXMLDesc(j->domain, 0);
		struct guest_use use = { 0 };
		/* A transient domain that ended has let go of it; a connection that ended tells nothing. */
		if (!now && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
			return 0;
		if (!now)
			return guest_error(e, "cannot see whether domain %s has let go of %s", a->domain, path);
		int result = job_find_use(j, now, &use, e);
		if (result < 0 || !use.found)
			return result;
		if (i == TELL_SECONDS * 20)
			volume_note(j->env, "waiting for the guest of domain %s to let go of %s", a->domain,
				    j->live.target);
		nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
	}
	return error_set(e, ERROR_BUSY, ETIMEDOUT,
			 "the guest of domain %s does not let go of %s: unmount it there, or shut the guest down",
			 a->domain, j->live.target);
}

static int detach_config(const struct job *j, const struct volume_attached *a, const char *path,
			 struct error *e)
{
	AUTOFREE char *disk = guest_disk_extract(j->xml.config, j->config.target);
	if (!disk || virDomainDetachDeviceFlags(j->domain, disk, VIR_DOMAIN_AFFECT_CONFIG) < 0)
		return guest_error(e, "cannot detach %s from the configuration of domain %s", path, a->domain);
	return 0;
}

/* The secrets of the chain that no domain mentions any more. */
static int forget_unused(const struct job *j, const struct layers *layers, const struct record *r,
			 struct error *e)
{
	int result = layers->n_records ? 0 : job_forget_unused(j, r, e);
	for (size_t i = 0; i < layers->n_records && result == 0; i++)
		result = job_forget_unused(j, layers->records[i], e);
	return result;
}

/* A mapping that somebody still uses stays; that is no failure of the detach. */
static int close_unused(const struct job *j, struct error *e)
{
	struct guest_user user = { 0 };
	struct volume_opened closed;
	struct error why = { 0 };
	int result = guest_user_any(&j->image, NULL, GUEST_EVERYWHERE, &user, e);
	if (result < 0 || user.place)
		return result;
	result = volume_close_held(&j->hold, false, false, &closed, &why);
	if (result == -EBUSY) {
		volume_note(j->env, "%s", why.message);
		return 0;
	}
	if (result < 0)
		*e = why;
	return result;
}

/* The domain that the record has by this name or UUID, when libvirt says that there is none of it any more. */
static const struct record_domain *find_gone(const struct record *r, const char *domain)
{
	uuid_t uuid;
	bool by_uuid = uuid_parse(domain, uuid) == 0;
	for (size_t i = 0; i < r->n_domains; i++)
		if (!strcmp(r->domains[i].name, domain) || (by_uuid && !uuid_compare(uuid, r->domains[i].uuid)))
			return &r->domains[i];
	return NULL;
}

static int clear_gone(struct job *j, const struct record *r, const struct record_domain *gone,
		      struct volume_attached *a, struct error *e)
{
	AUTODOMAIN virDomainPtr renamed = NULL;
	const struct layers layers = { 0 };
	int result = guest_find_recorded(j->g, gone->uuid, gone->name, &renamed, e);
	if (result > 0)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "domain %s is called %s now: detach it from that",
				 gone->name, virDomainGetName(renamed));
	snprintf(a->domain, sizeof(a->domain), "%s", gone->name);
	snprintf(a->target, sizeof(a->target), "%s", gone->target);
	uuid_copy(a->domain_uuid, gone->uuid);
	a->changed = true;
	if (result < 0 || j->p->dry_run)
		return result;
	result = job_hold(j, r, true, e);
	if (result == 0)
		result = volume_image(j->g, j->hold.record, &j->image, e);
	if (result == 0)
		result = volume_is_mapped_for_guests(r) ? close_unused(j, e)
							: forget_unused(j, &layers, j->hold.record, e);
	return result < 0 ? result : job_note_domain(j, a, false, e);
}

/* What a saved state or a snapshot has: the first goes on with disks of its own, the other only needs the secret. */
static int look_aside(const struct job *j, const struct record *r, bool *ret_kept, struct error *e)
{
	struct guest_user user = { 0 };
	int result = guest_user_of(j->domain, &j->image, GUEST_SAVED | GUEST_SNAPSHOT, &user, e);
	if (result == 0 && user.place == GUEST_SAVED)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "the saved state of domain %s has %s: start the guest first, or `virsh "
				 "managedsave-remove %s`",
				 user.domain, r->path, user.domain);
	*ret_kept = user.place == GUEST_SNAPSHOT;
	return result;
}

/* What would be done, and what can be said against it. */
static int look(struct job *j, const struct record *r, struct volume_attached *a, bool *ret_kept, struct error *e)
{
	int result = job_begin(j, r, a, e);
	if (result == 0)
		result = job_check_on_top(j, r, e);
	if (result == 0)
		result = look_aside(j, r, ret_kept, e);
	if (result < 0)
		return result;
	const struct guest_use *have = j->live.found ? &j->live : &j->config;
	snprintf(a->target, sizeof(a->target), "%s", have->target);
	snprintf(a->bus, sizeof(a->bus), "%s", have->bus);
	a->live = j->want_live && j->live.found;
	a->config = j->want_config && j->config.found;
	a->changed = a->live || a->config;
	return 0;
}

static int detach(const struct job *j, bool kept, struct volume_attached *a, struct error *e)
{
	CLEANUP(layers_clear) struct layers layers = { 0 };
	const struct record *r = j->hold.record;
	int result = 0;
	/* A chain that can no longer be read must not keep a disk from being detached. */
	if (!j->mapped && layers_find(j->env->ks, r, &layers, NULL) < 0)
		layers_clear(&layers);
	if (kept)
		volume_note(j->env, "a snapshot of domain %s needs %s: its secret stays", a->domain, r->path);
	if (a->live && (result = detach_live(j, a, r->path, e)) < 0)
		return result;
	if (a->config && (result = detach_config(j, a, r->path, e)) < 0)
		return result;
	bool gone = !kept && !(j->live.found && !a->live) && !(j->config.found && !a->config);
	result = !gone ? 0 : j->mapped ? close_unused(j, e) : forget_unused(j, &layers, r, e);
	if (result < 0)
		return result;
	if (gone && (result = job_note_domain(j, a, false, e)) < 0)
		return error_prefix(e, "detached, but the keystore could not note it");
	result = j->mapped ? 0 : guest_secret_exists(j->g, r->uuid, e);
	if (result < 0)
		return error_prefix(e, "detached, but it is not known whether the secret is gone");
	a->registered = result;
	return 0;
}

int volume_detach(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e)
{
	CLEANUP(job_clear) struct job j = JOB_NEW(env, g, p);
	struct volume_attached a = { 0 };
	struct error why = { 0 };
	bool kept = false;

	int result = look(&j, r, &a, &kept, &why);
	const struct record_domain *left = result < 0 && why.kind == ERROR_NOT_FOUND ? find_gone(r, p->domain) : NULL;
	if (left) {
		result = clear_gone(&j, r, left, &a, e);
	} else if (result < 0) {
		return error_pass(e, &why);
	} else if (!p->dry_run) {
		result = job_hold(&j, r, true, e);
		if (result == 0)
			result = look(&j, j.hold.record, &a, &kept, e);
		if (result == 0)
			result = detach(&j, kept, &a, e);
	}
	if (result == 0)
		*ret = a;
	return result;
}
