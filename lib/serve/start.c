/* Guests that were to start with libvirt, but had no key then. */
#include "lib/serve/load.h"

#include "lib/guest/config.h"
#include "lib/guest/disk.h"
#include "lib/guest/secret.h"

#include <stdlib.h>

/* Does the domain need one of the volumes: a secret of it, or the volume itself as a mapping? */
static int needs_one(virDomainPtr d, const uuid_t *volumes, size_t n, bool *ret, struct error *e)
{
	CLEANUP(guest_config_clear) struct guest_config needs = { 0 };
	struct guest_domain_xml x = { 0 };
	uuid_t secret;
	int r = guest_domain_xml(d, &x, e);
	if (r == 0 && x.config)
		r = guest_config_add(&needs, x.config, e);
	guest_domain_xml_clear(&x);
	if (r < 0)
		return r;
	guest_config_sort(&needs);
	*ret = false;
	for (size_t i = 0; i < n && !*ret && needs.n; i++) {
		guest_secret_uuid(volumes[i], secret);
		*ret = guest_config_names(&needs, secret) || guest_config_names(&needs, volumes[i]);
	}
	return 0;
}

static int consider(virDomainPtr d, const uuid_t *volumes, size_t n, bool *ret_waits,
		    struct error *e)
{
	int autostart = 0, active = virDomainIsActive(d);
	*ret_waits = false;
	if (active < 0 || virDomainGetAutostart(d, &autostart) < 0)
		return guest_error(e, "cannot ask for the state of domain %s", virDomainGetName(d));
	return active || !autostart ? 0 : needs_one(d, volumes, n, ret_waits, e);
}

int volume_start_guests(struct guest_connection *g, const uuid_t *volumes, size_t n, bool dry_run, volume_started_fn fn,
			void *ctx, struct error *e)
{
	struct error first = { 0 };
	virDomainPtr *domains = NULL;
	int r = 0, count = virConnectListAllDomains(
			   g->conn, &domains, VIR_CONNECT_LIST_DOMAINS_INACTIVE | VIR_CONNECT_LIST_DOMAINS_AUTOSTART);
	if (count < 0)
		return guest_error(e, "cannot list the domains");
	for (int i = 0; i < count; i++) {
		struct volume_started s = { .domain = virDomainGetName(domains[i]) };
		bool waits = false;
		if (r == 0 && (consider(domains[i], volumes, n, &waits, &s.error) < 0 || waits)) {
			virDomainGetUUID(domains[i], s.uuid);
			if (waits && !dry_run && virDomainCreate(domains[i]) < 0)
				guest_error(&s.error, "domain %s does not start", s.domain);
			s.started = waits && !dry_run && !s.error.kind;
			if (s.error.kind && !first.kind)
				first = s.error;
			r = fn(ctx, &s);
		}
		virDomainFree(domains[i]);
	}
	free(domains);
	if (r < 0 || !first.kind)
		return r;
	return error_pass(e, &first);
}
