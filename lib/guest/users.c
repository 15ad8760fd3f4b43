#include "lib/guest/users.h"

#include "lib/guest/disk.h"
#include "lib/guest/lazy.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int look(const struct guest_image *image, const char *xml, enum guest_place place, struct guest_user *u,
		struct error *e)
{
	int r = guest_image_find(image, xml, &u->use, e);
	if (r == 0 && (u->use.found || u->use.below))
		u->place = place;
	return r;
}

static int look_saved(virDomainPtr d, const struct guest_image *image, struct guest_user *u, struct error *e)
{
	int saved = virDomainHasManagedSaveImage(d, 0);
	if (saved == 0 || (saved < 0 && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT))
		return 0;
	AUTOFREE char *xml = saved > 0 ? virDomainManagedSaveGetXMLDesc(d, 0) : NULL;
	if (!xml)
		return guest_error(e, "cannot ask for the saved state of domain %s", u->domain);
	return look(image, xml, GUEST_SAVED, u, e);
}

static int look_snapshots(virDomainPtr d, const struct guest_image *image, struct guest_user *u, struct error *e)
{
	virDomainSnapshotPtr *list = NULL;
	int r = 0, n = virDomainListAllSnapshots(d, &list, 0);
	if (n < 0)
		return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT
			       ? 0
			       : guest_error(e, "cannot list the snapshots of domain %s", u->domain);
	for (int i = 0; i < n; i++) {
		if (r == 0 && !u->place) {
			AUTOFREE char *xml = virDomainSnapshotGetXMLDesc(list[i], 0);
			snprintf(u->snapshot, sizeof(u->snapshot), "%s", virDomainSnapshotGetName(list[i]));
			r = xml ? look(image, xml, GUEST_SNAPSHOT, u, e)
				: guest_error(e, "cannot read snapshot %s of domain %s", u->snapshot, u->domain);
		}
		virDomainSnapshotFree(list[i]);
	}
	free(list);
	return r;
}

int guest_user_of(virDomainPtr d, const struct guest_image *image, unsigned places, struct guest_user *ret,
		  struct error *e)
{
	struct guest_domain_xml x = { 0 };
	struct guest_user u = { 0 };
	snprintf(u.domain, sizeof(u.domain), "%s", virDomainGetName(d));
	virDomainGetUUID(d, u.uuid);
	int r = guest_domain_xml(d, &x, e);
	if (r == 0 && (places & GUEST_LIVE))
		r = look(image, x.live, GUEST_LIVE, &u, e);
	if (r == 0 && (places & GUEST_CONFIG) && !u.place)
		r = look(image, x.config, GUEST_CONFIG, &u, e);
	guest_domain_xml_clear(&x);
	if (r == 0 && (places & GUEST_SAVED) && !u.place)
		r = look_saved(d, image, &u, e);
	if (r == 0 && (places & GUEST_SNAPSHOT) && !u.place)
		r = look_snapshots(d, image, &u, e);
	if (r == 0)
		*ret = u;
	return r;
}

int guest_user_any(const struct guest_image *image, virDomainPtr except, unsigned places, struct guest_user *ret,
		   struct error *e)
{
	virDomainPtr *domains = NULL;
	struct guest_user found = { 0 };
	uuid_t not_this, uuid;
	unsigned flags = places == GUEST_LIVE ? VIR_CONNECT_LIST_DOMAINS_ACTIVE : 0;
	int r = 0, n = virConnectListAllDomains(image->g->conn, &domains, flags);
	if (n < 0)
		return guest_error(e, "cannot list the domains");
	if (except)
		virDomainGetUUID(except, not_this);
	for (int i = 0; i < n; i++) {
		struct error why = { 0 };
		virDomainGetUUID(domains[i], uuid);
		if (r == 0 && !found.place && (!except || uuid_compare(uuid, not_this) != 0) &&
		    guest_user_of(domains[i], image, places, &found, &why) < 0 &&
		    (why.kind != ERROR_NOT_FOUND || why.err == ENOMEM))
			r = error_pass(e, &why);
		virDomainFree(domains[i]);
	}
	free(domains);
	if (r == 0)
		*ret = found;
	return r;
}

void guest_user_text(const struct guest_user *u, char *buf, size_t len)
{
	if (u->place == GUEST_SNAPSHOT)
		snprintf(buf, len, "snapshot %s of domain %s", u->snapshot, u->domain);
	else
		snprintf(buf, len, "%sdomain %s", u->place == GUEST_SAVED ? "the saved state of " : "", u->domain);
}
