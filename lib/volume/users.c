#include "lib/volume/users.h"
#include "lib/volume/mapped.h"

#include "lib/image/file/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int add_mappings(const struct record *r, struct guest_image *image, struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	char name[MAPPING_NAME_LEN] = "", path[MAPPING_NAME_LEN + 16];
	int result = mapping_list_read(&maps, e);
	const struct mapping *m = result < 0 ? NULL : mapping_find(&maps, r->luks_uuid, false);
	if (result == 0 && volume_is_mapped_for_guests(r)) {
		volume_guest_mapping(r, name, sizeof(name));
		snprintf(path, sizeof(path), "/dev/mapper/%s", name);
		result = guest_image_add(image, path, true, e);
	}
	if (result < 0 || !m || !strcmp(m->name, name))
		return result;
	snprintf(path, sizeof(path), "/dev/mapper/%s", m->name);
	return guest_image_add(image, path, true, e);
}

int volume_image(struct guest_connection *g, const struct record *r, struct guest_image *ret, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image;
	guest_image_begin(&image, g, r->uuid);
	int result = guest_image_add(&image, r->path, false, e);
	/* Mappings are this host's. */
	if (result == 0 && r->format == RECORD_FORMAT_RAW && (!g || g->local))
		result = add_mappings(r, &image, e);
	if (result < 0)
		return result;
	*ret = image;
	image.n = 0;
	return 0;
}

int volume_check_unused(struct guest_connection *g, const struct record *r, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	char who[512];
	int result = volume_image(g, r, &image, e);
	if (result == 0)
		result = guest_user_any(&image, NULL, GUEST_EVERYWHERE, &user, e);
	if (result < 0 || !user.place)
		return result;
	guest_user_text(&user, who, sizeof(who));
	if (user.place == GUEST_SNAPSHOT)
		return error_set(e, ERROR_REFUSED, EBUSY, "%s has %s as a disk: `virsh snapshot-delete %s %s` first",
				 who, r->path, user.domain, user.snapshot);
	if (user.place == GUEST_SAVED)
		return error_set(e, ERROR_REFUSED, EBUSY,
				 "%s has %s as a disk: start it, or `virsh managedsave-remove %s`, first", who, r->path,
				 user.domain);
	if (user.use.below)
		return error_set(e, ERROR_REFUSED, EBUSY, "%s has %s below %s as %s", who, r->path, user.use.top,
				 user.use.target);
	return error_set(e, ERROR_REFUSED, EBUSY, "%s has %s as a disk: `kvmcrypt detach %s %s` first", who, r->path,
			 user.domain, r->path);
}

int volume_check_secrets(struct guest_connection *g, const char *path, const unsigned char *volume, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	static const uuid_t none;
	char who[512];
	if (!g)
		return 0;
	guest_image_begin(&image, g, volume ? volume : none);
	int result = guest_image_add(&image, path, false, e);
	if (result == 0)
		result = guest_user_any(&image, NULL, GUEST_EVERYWHERE, &user, e);
	if (result < 0 || !user.place || !user.use.encrypted || user.use.our_secret)
		return result;
	guest_user_text(&user, who, sizeof(who));
	return error_set(e, ERROR_REFUSED, EBUSY,
			 "%s opens %s with another secret, which --replace would make useless: import it without, then "
			 "`kvmcrypt attach --adopt %s %s`", who, path, user.domain, path);
}

int volume_check_libvirt(struct guest_connection *g, const struct record *r, const char *without, struct error *e)
{
	if (g || !r->n_domains)
		return 0;
	return error_set(e, ERROR_LIBVIRT, ENOTCONN, "domain %s has %s, and libvirt cannot be %s", r->domains[0].name,
			 r->path, without);
}

/* ---- overlays ---- */

struct search {
	const struct record *base;
	char *overlay;
};

static int look_for_overlay(void *ctx, const struct record *r)
{
	struct search *s = ctx;
	bool by_path = r->backing && !strcmp(r->backing, s->base->path);
	if (!by_path && uuid_compare(r->parent, s->base->uuid))
		return 0;
	s->overlay = strdup(r->path);
	return s->overlay ? 1 : -ENOMEM;
}

int volume_check_no_overlay(struct keystore *ks, const struct record *r, const char *verb, struct error *e)
{
	struct search s = { .base = r };
	struct error why = { 0 };
	int result = keystore_each(ks, look_for_overlay, &s, &why);
	AUTOFREE char *overlay = s.overlay;
	if (overlay)
		return error_set(e, ERROR_REFUSED, EBUSY,
				 "%s is the backing file of volume %s, which would be lost without this key: %s that "
				 "first", r->path, overlay, verb);
	return result < 0 ? error_pass(e, &why) : 0;
}

/* ---- running ---- */

/* QEMU's node is what we want, or the kernel's device: whichever the volume is meant to have. */
static bool is_disk(const struct record *r, const struct guest_user *u)
{
	return u->place && u->use.found && u->use.decrypted == volume_is_mapped_for_guests(r);
}

/* The domains that the record names, first: they are nearly always the ones. 1: found. */
static int look_at_recorded(const struct guest_image *image, const struct record *r, struct guest_user *ret,
			    virDomainPtr *ret_domain, struct error *e)
{
	for (size_t i = 0; i < r->n_domains; i++) {
		AUTODOMAIN virDomainPtr d = NULL;
		int result = guest_find_recorded(image->g, r->domains[i].uuid, r->domains[i].name, &d, e);
		if (result == 1)
			result = guest_user_of(d, image, GUEST_LIVE, ret, e);
		if (result < 0)
			return result;
		if (d && is_disk(r, ret)) {
			*ret_domain = TAKE_PTR(d);
			return 1;
		}
	}
	return 0;
}

/* Does anybody have it open at all? A file of this host tells by QEMU's locks. */
static bool may_run(const struct guest_image *image, const struct record *r)
{
	struct stat st;
	bool file = stat(r->path, &st) == 0 && S_ISREG(st.st_mode) && !volume_is_mapped_for_guests(r);
	return !image->g->local || !file || image_is_in_use(r->path);
}

int volume_find_guest(struct guest_connection *g, const struct record *r, virDomainPtr *ret, char *target,
		      size_t len, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	AUTODOMAIN virDomainPtr d = NULL;
	struct guest_user user = { 0 };
	if (!g)
		return 0;
	int result = volume_image(g, r, &image, e);
	if (result == 0)
		result = look_at_recorded(&image, r, &user, &d, e);
	/* It was renamed, defined anew, or given the volume by others. */
	if (result == 0 && may_run(&image, r))
		result = guest_user_any(&image, NULL, GUEST_LIVE, &user, e);
	if (result == 0 && is_disk(r, &user))
		result = guest_find_recorded(g, user.uuid, user.domain, &d, e);
	if (result < 0 || !d)
		return result < 0 ? result : 0;
	snprintf(target, len, "%s", user.use.target);
	*ret = TAKE_PTR(d);
	return 0;
}
