#include "lib/serve/attach.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"
#include "lib/serve/open.h"
#include "lib/volume/mapped.h"

#include "lib/guest/boot.h"
#include "lib/guest/secret.h"
#include "lib/image/file/lock.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A live detach ends when the guest lets go of the disk. */
#define DETACH_SECONDS 20
/* Another process may touch the same record between our read and our write. */
#define PUT_TRIES 8

struct job {
	const struct volume_env *env;
	struct guest_connection *g;
	const struct volume_attach *p;
	virDomainPtr domain;
	struct guest_domain_xml xml;
	struct guest_use live, config;	/* how the domain has the volume now */
	bool want_live, want_config;	/* what the caller asks for and the domain has */
	uuid_t secret;
	bool mapped;			/* LUKS2: the kernel decrypts, the guest gets a block device */
	char name[MAPPING_NAME_LEN];	/* of that mapping */
	char source[4352];		/* what the domain has as the disk's source */
	int lock;			/* on a volume that QEMU opens, or -1 */
};

static void job_clear(struct job *j)
{
	guest_domain_xml_clear(&j->xml);
	if (j->domain)
		virDomainFree(j->domain);
	cleanup_close(&j->lock);
}

/*
 * Against a rotation, which changes what the secret must be. A mapping needs none, and opening it
 * takes the same lock for itself.
 */
static int job_lock(struct job *j, const struct record *r, bool ready, struct error *e)
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
	bool matters = ready || now->state == RECORD_CONVERTING || now->state == RECORD_PIVOTING;
	return matters ? volume_check_ready(now, e) : 0;
}

/* A disk on the mapping is ours as it is; one on the file below it would be the ciphertext. */
static int find_use(const struct job *j, const char *xml, const struct record *r, struct guest_use *ret,
		    struct error *e)
{
	int result = guest_disk_find(xml, j->source, j->secret, ret, e);
	if (result < 0 || !j->mapped)
		return result;
	if (ret->found)
		ret->our_secret = !ret->encrypted;
	else
		result = guest_disk_find(xml, r->path, j->secret, ret, e);
	return result;
}

static int job_begin(struct job *j, const struct record *r, struct volume_attached *ret, struct error *e)
{
	int result = guest_find_domain(j->g, j->p->domain, &j->domain, e);
	if (result == 0)
		result = guest_domain_xml(j->domain, &j->xml, e);
	if (result < 0)
		return result;
	guest_secret_uuid(r->uuid, j->secret);
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
	if ((result = find_use(j, j->xml.live, r, &j->live, e)) < 0 ||
	    (result = find_use(j, j->xml.config, r, &j->config, e)) < 0)
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

/* ---- the record ---- */

static int note_domain(const struct volume_env *env, const struct record *r, const struct volume_attached *a,
		       bool attached, bool locked, struct error *e)
{
	AUTOCLOSE int lock = -1;
	int result = locked ? 0 : volume_lock(env->ks, r->uuid, true, &lock, e);
	for (int i = 0; result == 0 && i < PUT_TRIES; i++) {
		AUTORECORD struct record *fresh = NULL;
		result = keystore_get(env->ks, r->uuid, &fresh, e);
		if (result == 0)
			result = keystore_reveal(env->ks, &fresh, 1, attached ? "attach" : "detach", a->domain, e);
		if (result == 0 && attached)
			result = record_add_domain(fresh, a->domain_uuid, a->domain, a->target, e);
		if (result < 0)
			return result;
		if (!attached && !record_remove_domain(fresh, a->domain_uuid, NULL))
			return 0;
		result = keystore_put(env->ks, fresh, attached ? "attach" : "detach", a->domain, e);
		if (result != -ESTALE)
			return result;
		result = 0;
	}
	return result < 0 ? result : error_set(e, ERROR_BUSY, ESTALE, "the record of %s changes all the time", r->path);
}

/* ---- attach ---- */

static int refuse_other_use(const struct job *j, const struct record *r, const struct guest_use *use,
			    struct error *e)
{
	if (!use->found || use->our_secret)
		return 0;
	return error_set(e, ERROR_REFUSED, EEXIST,
			 "domain %s uses %s as %s already, %s: remove that disk first (`virsh detach-disk`)",
			 virDomainGetName(j->domain), r->path, use->target,
			 use->encrypted ? "with another secret" : "without encryption");
}

static int refuse_elsewhere(const struct job *j, const struct record *r, struct error *e)
{
	AUTOFREE char *user = NULL;
	int result = guest_find_user(j->g, j->source, j->secret, j->domain, &user, e);
	if (result == 0 && !user && j->mapped)
		result = guest_find_user(j->g, r->path, j->secret, j->domain, &user, e);
	if (result < 0)
		return result;
	if (user)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is a disk of domain %s: detach it there first", r->path,
				 user);
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
	if (!j->p->target)
		return guest_target_next(&j->xml, bus, a->target, sizeof(a->target), e);
	if (guest_target_taken(j->xml.live, j->p->target) || guest_target_taken(j->xml.config, j->p->target))
		return error_set(e, ERROR_EXISTS, EEXIST, "domain %s has another disk as %s", a->domain,
				 j->p->target);
	snprintf(a->target, sizeof(a->target), "%s", j->p->target);
	return 0;
}

struct registered {
	const struct layers *layers;
	bool fresh[LAYERS_MAX];
	bool mapped;	/* the mapping was made just now */
};

static void forget_fresh(const struct job *j, const struct record *r, const struct registered *reg)
{
	struct volume_opened closed;
	struct guest_connection *g = j->g;
	if (reg->mapped)
		volume_close(j->env, r, false, false, &closed, NULL);
	for (size_t i = 0; i < reg->layers->n_records; i++)
		if (reg->fresh[i])
			guest_secret_forget(g, reg->layers->records[i]->uuid, NULL, NULL);
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
		forget_fresh(j, layers->records[0], reg);
	return result;
}

/* What the guest needs to be there before the disk: secrets for QEMU, or the kernel's mapping. */
static int make_ready(const struct job *j, struct record *r, struct layers *layers, struct registered *reg,
		      struct volume_attached *a, struct error *e)
{
	if (!j->mapped)
		return register_all(j, layers, reg, a, e);
	const struct volume_open p = { .name = j->name, .flags = j->p->readonly ? MAPPING_READONLY : 0 };
	struct volume_opened opened;
	int result = volume_open(j->env, r, &p, &opened, e);
	if (result == 0)
		reg->mapped = opened.changed;
	return result;
}

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
	if (virDomainAttachDeviceFlags(j->domain, xml, live ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG) < 0)
		return guest_error(e, "cannot attach %s to %s domain %s%s", layers->guest[0].path,
				   live ? "running" : "the configuration of", a->domain,
				   live && !j->xml.acpi ? ", which has no <acpi/> feature (--config works)" : "");
	return 0;
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
		volume_note(j->env, "domain %s has no <acpi/> feature: its guest will not see the disk before its next start",
			    a->domain);
	return result;
}

int volume_attach(const struct volume_env *env, struct guest_connection *g, struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e)
{
	CLEANUP(job_clear) struct job j = { .env = env, .g = g, .p = p, .lock = -1 };
	CLEANUP(layers_clear) struct layers layers = { 0 };
	struct registered reg = { .layers = &layers };
	struct volume_attached a = { 0 };

	int result = job_begin(&j, r, &a, e);
	if (result < 0)
		return result;
	if ((result = volume_check_ready(r, e)) < 0 || (result = refuse_other_use(&j, r, &j.live, e)) < 0 ||
	    (result = refuse_other_use(&j, r, &j.config, e)) < 0 ||
	    (result = refuse_elsewhere(&j, r, e)) < 0 || (result = choose_target(&j, &a, e)) < 0 ||
	    (result = j.mapped ? layers_mapped(j.source, &layers) : layers_find(env->ks, r, &layers, e)) < 0)
		return result;
	a.live = j.want_live || j.live.found;
	a.config = j.want_config || j.config.found;
	a.changed = (j.want_live && !j.live.found) || (j.want_config && !j.config.found);
	if (p->dry_run) {
		*ret = a;
		return 0;
	}
	if ((result = job_lock(&j, r, true, e)) < 0)
		return result;
	/* The secret is renewed even if the disk is there: after a daemon restart an ephemeral one is gone. */
	result = make_ready(&j, r, &layers, &reg, &a, e);
	if (result < 0)
		return result;
	result = add_disks(&j, &layers, &a, e);
	if (result < 0) {
		forget_fresh(&j, r, &reg);
		return result;
	}
	result = note_domain(env, r, &a, true, j.lock >= 0, e);
	if (result < 0)
		return error_prefix(e, "attached, but the keystore could not note it");
	*ret = a;
	return 0;
}

/* ---- detach ---- */

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
		if (guest_disk_find(now, j->source, j->secret, &use, NULL) < 0 || !use.found)
			return 0;
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

/* The secrets of the chain that no domain mentions any more; libvirt itself is the witness. */
static int forget_unused(const struct job *j, const struct layers *layers, const struct record *r,
			 struct error *e)
{
	size_t n = layers->n_records ? layers->n_records : 1;
	for (size_t i = 0; i < n; i++) {
		AUTOFREE char *user = NULL;
		uuid_t secret;
		const struct record *one = layers->n_records ? layers->records[i] : r;
		guest_secret_uuid(one->uuid, secret);
		int result = guest_find_user(j->g, NULL, secret, NULL, &user, e);
		if (result == 0 && !user)
			result = guest_secret_forget(j->g, one->uuid, NULL, e);
		if (result < 0)
			return result;
	}
	return 0;
}

/* A mapping that somebody still uses stays; that is no failure of the detach. */
static int close_unused(const struct job *j, const struct record *r, struct error *e)
{
	AUTOFREE char *user = NULL;
	struct volume_opened closed;
	struct error why = { 0 };
	int result = guest_find_user(j->g, j->source, j->secret, NULL, &user, e);
	if (result < 0 || user)
		return result;
	result = volume_close(j->env, r, false, false, &closed, &why);
	if (result == -EBUSY) {
		volume_note(j->env, "%s", why.message);
		return 0;
	}
	if (result < 0)
		*e = why;
	return result;
}

int volume_detach(const struct volume_env *env, struct guest_connection *g, struct record *r,
		  const struct volume_attach *p, struct volume_attached *ret, struct error *e)
{
	CLEANUP(job_clear) struct job j = { .env = env, .g = g, .p = p, .lock = -1 };
	CLEANUP(layers_clear) struct layers layers = { 0 };
	struct volume_attached a = { 0 };

	int result = job_begin(&j, r, &a, e);
	if (result < 0)
		return result;
	const struct guest_use *have = j.live.found ? &j.live : &j.config;
	snprintf(a.target, sizeof(a.target), "%s", have->target);
	snprintf(a.bus, sizeof(a.bus), "%s", have->bus);
	a.live = j.want_live && j.live.found;
	a.config = j.want_config && j.config.found;
	a.changed = a.live || a.config;
	if (p->dry_run) {
		*ret = a;
		return 0;
	}
	if ((result = job_lock(&j, r, false, e)) < 0)
		return result;
	/* A chain that can no longer be read must not keep a disk from being detached. */
	if (!j.mapped && layers_find(env->ks, r, &layers, NULL) < 0)
		layers_clear(&layers);
	if (a.live && (result = detach_live(&j, &a, r->path, e)) < 0)
		return result;
	if (a.config && (result = detach_config(&j, &a, r->path, e)) < 0)
		return result;
	bool gone = !(j.live.found && !a.live) && !(j.config.found && !a.config);
	result = !gone ? 0 : j.mapped ? close_unused(&j, r, e) : forget_unused(&j, &layers, r, e);
	if (result < 0)
		return result;
	if (gone && (result = note_domain(env, r, &a, false, j.lock >= 0, e)) < 0)
		return error_prefix(e, "detached, but the keystore could not note it");
	a.registered = !j.mapped && guest_secret_exists(g, r->uuid);
	*ret = a;
	return 0;
}
