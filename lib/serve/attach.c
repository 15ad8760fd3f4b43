#include "lib/serve/far.h"
#include "lib/serve/job.h"
#include "lib/serve/open.h"
#include "lib/serve/register.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"
#include "lib/volume/mapped.h"
#include "lib/volume/state.h"
#include "lib/volume/users.h"

#include "lib/guest/boot.h"
#include "lib/guest/bus.h"
#include "lib/guest/respell.h"
#include "lib/guest/secret.h"
#include "lib/image/file/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int refuse_other_use(const struct job *j, const struct record *r, const struct guest_use *use,
			    struct error *e)
{
	if (!use->found || use->our_secret || (j->p->adopt && use->encrypted))
		return 0;
	return error_set(
		e, ERROR_REFUSED, EEXIST, "domain %s uses %s as %s already, %s: %s", virDomainGetName(j->domain),
		r->path, use->target, use->encrypted ? "with another secret" : "without encryption",
		use->encrypted ? "--adopt gives that disk ours" : "remove that disk first (`virsh detach-disk`)");
}

static int refuse_elsewhere(const struct job *j, const struct record *r, struct error *e)
{
	struct guest_user user = { 0 };
	char who[512];
	int result = guest_user_any(&j->image, j->domain, GUEST_EVERYWHERE, &user, e);
	if (result < 0)
		return result;
	guest_user_text(&user, who, sizeof(who));
	if (user.place)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is a disk of %s: detach it there first", r->path, who);
	if (!j->mapped && !j->live.found && (result = volume_check_unmapped(r, e)) < 0)
		return result;
	if (!j->live.found && image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", r->path);
	return 0;
}

static int choose_target(const struct job *j, struct volume_attached *a, struct error *e)
{
	const struct guest_use *have = j->live.found ? &j->live : &j->config;
	if (have->found) {
		if (j->p->target && strcmp(j->p->target, have->target) != 0)
			return error_set(e, ERROR_EXISTS, EEXIST, "the volume is %s of domain %s already, not %s",
					 have->target, a->domain, j->p->target);
		snprintf(a->target, sizeof(a->target), "%s", have->target);
		snprintf(a->bus, sizeof(a->bus), "%s", have->bus);
		return 0;
	}
	const char *bus = j->p->bus;
	if (!bus && j->p->target)
		bus = guest_bus_of_target(j->p->target);
	if (!bus)
		bus = "virtio";
	snprintf(a->bus, sizeof(a->bus), "%s", bus);
	int result = guest_bus_check(j->domain, &j->xml, bus, j->want_live, e);
	if (result < 0)
		return result;
	if (!j->p->target)
		return guest_target_next(&j->xml, bus, a->target, sizeof(a->target), e);
	if (guest_target_taken(j->xml.live, j->p->target) || guest_target_taken(j->xml.config, j->p->target))
		return error_set(e, ERROR_EXISTS, EEXIST, "domain %s has another disk as %s", a->domain,
				 j->p->target);
	snprintf(a->target, sizeof(a->target), "%s", j->p->target);
	return 0;
}

/* ---- what the guest needs to be there first ---- */

struct registered {
	const struct layers *layers;
	bool fresh[LAYERS_MAX];
	bool mapped;	/* the mapping was made just now */
};

/* What libvirt refused may have been done all the same: who has the disk keeps its key. */
static void forget_fresh(const struct job *j, const struct registered *reg)
{
	struct volume_opened closed;
	struct guest_user user = { 0 };
	if (reg->mapped && guest_user_any(&j->image, NULL, GUEST_EVERYWHERE, &user, NULL) == 0 && !user.place)
		volume_close_held(&j->hold, false, false, &closed, NULL);
	for (size_t i = 0; i < reg->layers->n_records; i++)
		if (reg->fresh[i])
			job_forget_unused(j, reg->layers->records[i], NULL);
}

static int register_all(const struct job *j, struct layers *layers, struct registered *reg,
			struct volume_attached *a, struct error *e)
{
	/* Before the keys are revealed, not only before they are sent. */
	int result = guest_require_secure(j->g, e);
	if (result == 0)
		result = keystore_reveal(j->env->ks, layers->records, layers->n_records, "attach", a->domain, e);
	for (size_t i = 0; i < layers->n_records && result == 0; i++) {
		bool fresh = false;
		result = volume_register(j->env, j->g, &layers->records[i], "attach", &fresh, &a->ephemeral, e);
		reg->fresh[i] = result == 0 && fresh;
		a->registered = result == 0;
	}
	if (result < 0)
		forget_fresh(j, reg);
	return result;
}

/* What the guest needs to be there before the disk: secrets for QEMU, or the kernel's mapping. */
static int make_ready(struct job *j, struct layers *layers, struct registered *reg, struct volume_attached *a,
		      struct error *e)
{
	if (!j->mapped)
		return register_all(j, layers, reg, a, e);
	const struct volume_open p = { .name = j->name, .flags = j->p->readonly ? MAPPING_READONLY : 0 };
	struct volume_opened opened;
	int result = volume_open_held(j->env, &j->hold, &p, &opened, e);
	if (result == 0)
		reg->mapped = opened.changed;
	return result;
}

/* ---- the disk ---- */

/* With the default <boot dev='hd'/> in <os>, a boot order means rewriting the configuration. */
static int define_with_boot(const struct job *j, const char *disk, const struct volume_attached *a,
			    struct error *e)
{
	AUTOFREE char *now = virDomainGetXMLDesc(j->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	if (!now)
		return guest_error(e, "cannot read the configuration of domain %s", a->domain);
	AUTOFREE char *xml = guest_boot_insert(now, disk, j->p->boot_order, e);
	if (!xml)
		return -EINVAL;
	virDomainPtr defined = virDomainDefineXML(virDomainGetConnect(j->domain), xml);
	if (!defined)
		return guest_error(e, "cannot change the configuration of domain %s", a->domain);
	virDomainFree(defined);
	return 0;
}

static int add_disk(const struct job *j, const struct layers *layers, const struct volume_attached *a,
		    bool live, struct error *e)
{
	bool rewrite = !live && j->p->boot_order && guest_boot_in_os(j->xml.config);
	const struct guest_disk disk = {
		.layers = layers->guest,
		.n_layers = layers->n,
		.target = a->target,
		.bus = a->bus,
		.readonly = j->p->readonly,
		/* A running guest has booted; libvirt refuses a boot order there. */
		.boot_order = live || rewrite ? 0 : j->p->boot_order,
	};
	AUTOFREE char *xml = guest_disk_xml(&disk);
	if (!xml)
		return error_oom(e);
	if (rewrite)
		return define_with_boot(j, xml, a, e);
	if (virDomainAttachDeviceFlags(j->domain, xml, live ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG) == 0)
		return 0;
	struct error why = { 0 };
	guest_error(&why, "cannot attach %s to %s domain %s%s", layers->guest[0].path,
		    live ? "running" : "the configuration of", a->domain,
		    live && !j->xml.acpi ? ", which has no <acpi/> feature (--config works)" : "");
	return error_set(e, why.kind, why.err, "%.800s%s", why.message, guest_bus_advice(&why));
}

static void remove_live(const struct job *j, const char *target)
{
	AUTOFREE char *now = virDomainGetXMLDesc(j->domain, 0);
	AUTOFREE char *disk = guest_disk_extract(now, target);
	if (disk)
		virDomainDetachDeviceFlags(j->domain, disk, VIR_DOMAIN_AFFECT_LIVE);
}

static int add_disks(const struct job *j, const struct layers *layers, struct volume_attached *a,
		     struct error *e)
{
	bool live = j->want_live && !j->live.found, config = j->want_config && !j->config.found;
	int result = live ? add_disk(j, layers, a, true, e) : 0;
	if (result == 0 && config) {
		result = add_disk(j, layers, a, false, e);
		if (result < 0 && live)
			remove_live(j, a->target);
	}
	if (result == 0 && live && !j->xml.acpi)
		volume_note(j->env,
			    "domain %s has no <acpi/> feature: its guest will not see the disk before its next start",
			    a->domain);
	return result;
}

/* ---- a disk that is there already ---- */

/* Spelled as attach would do it now; --adopt: with our secrets in the place of others. *ret NULL: it is so. */
static int respell(const struct job *j, const struct layers *layers, char **ret, struct error *e)
{
	struct guest_image images[LAYERS_MAX];
	size_t n = 0;
	int result = 0;
	if (!(j->p->renew || j->p->adopt) || !j->want_config || !j->config.found)
		return 0;
	for (; j->p->adopt && result == 0 && n < layers->n_records; n += result == 0)
		result = volume_image(j->g, layers->records[n], &images[n], e);
	if (result == 0)
		result = guest_disk_respell(j->xml.config, j->config.target, images, n, ret, e);
	for (size_t i = 0; i < n; i++)
		guest_image_clear(&images[i]);
	return result;
}

static int update(const struct job *j, const char *disk, const struct volume_attached *a, struct error *e)
{
	if (disk && virDomainUpdateDeviceFlags(j->domain, disk, VIR_DOMAIN_AFFECT_CONFIG) < 0)
		return guest_error(e, "cannot change disk %s in the configuration of domain %s", a->target, a->domain);
	if (disk && j->live.found)
		volume_note(j->env, "the running guest of domain %s has the disk as it was until its next start",
			    a->domain);
	return 0;
}

/* ---- attach ---- */

/* All that can be said against it, and what would be done. */
static int look(struct job *j, const struct record *r, struct layers *layers, struct volume_attached *a,
		char **ret_disk, struct error *e)
{
	int result = job_begin(j, r, a, e);
	if (result < 0)
		return result;
	if ((result = volume_check_ready(r, e)) < 0 || (result = job_check_on_top(j, r, e)) < 0)
		return result;
	if ((j->p->renew || j->p->adopt) && !j->live.found && !j->config.found)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "domain %s has no disk that is %s", a->domain, r->path);
	if ((result = refuse_other_use(j, r, &j->live, e)) < 0 ||
	    (result = refuse_other_use(j, r, &j->config, e)) < 0 ||
	    (result = refuse_elsewhere(j, r, e)) < 0 || (result = choose_target(j, a, e)) < 0)
		return result;
	layers_clear(layers);
	result = j->mapped ? layers_mapped(j->source, layers) : layers_find(j->env->ks, r, layers, e);
	if (result == 0)
		result = respell(j, layers, ret_disk, e);
	a->live = j->want_live || j->live.found;
	a->config = j->want_config || j->config.found;
	a->changed = (j->want_live && !j->live.found) || (j->want_config && !j->config.found) || *ret_disk;
	return result;
}

static int attach(struct job *j, struct layers *layers, const char *disk, struct volume_attached *a, struct error *e)
{
	struct registered reg = { .layers = layers };
	bool had = j->live.found || j->config.found;
	/* The secret is renewed even if the disk is there: after a daemon restart an ephemeral one is gone. */
	int result = make_ready(j, layers, &reg, a, e);
	/* Before the domain has it: who cannot ask libvirt later must know that he has to. */
	if (result == 0)
		result = job_note_domain(j, a, true, e);
	if (result == 0) {
		result = add_disks(j, layers, a, e);
		if (result == 0)
			result = update(j, disk, a, e);
		if (result < 0 && !had)
			job_note_domain(j, a, false, NULL);
	}
	if (result < 0)
		forget_fresh(j, &reg);
	return result;
}

int volume_attach(const struct volume_env *env, struct guest_connection *g, const struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e)
{
	CLEANUP(job_clear) struct job j = JOB_NEW(env, g, p);
	CLEANUP(layers_clear) struct layers layers = { 0 };
	AUTOFREE char *early = NULL;
	AUTOFREE char *disk = NULL;
	struct volume_attached a = { 0 };

	int result = look(&j, r, &layers, &a, &early, e);
	if (result == 0 && !p->dry_run)
		result = job_hold(&j, r, false, e);
	if (result == 0 && !p->dry_run)
		result = look(&j, j.hold.record, &layers, &a, &disk, e);
	if (result == 0 && !g->local && !env->shared_storage)
		result = far_check(g, &layers, e);
	if (result == 0 && !p->dry_run)
		result = attach(&j, &layers, disk, &a, e);
	/* It is attached, whatever can be learned of this. */
	if (result == 0 && a.live && g->local && guest_core_look(a.domain, &a.core, NULL) < 0)
		a.core.runs = false;
	if (result == 0)
		*ret = a;
	return result;
}
