/* Which guest is running with a volume? */
#include "lib/volume/internal.h"

#include "lib/guest/disk.h"
#include "lib/guest/secret.h"
#include "lib/volume/mapped.h"

#include <stdio.h>

int volume_find_guest(struct guest_connection *g, const struct record *r, virDomainPtr *ret, char *target,
		      size_t len, struct error *e)
{
	char name[MAPPING_NAME_LEN], source[4352];
	volume_guest_mapping(r, name, sizeof(name));
	if (volume_is_mapped_for_guests(r))
		snprintf(source, sizeof(source), "/dev/mapper/%s", name);
	else
		snprintf(source, sizeof(source), "%s", r->path);
	for (size_t i = 0; i < r->n_domains && g; i++) {
		AUTODOMAIN virDomainPtr d = NULL;
		struct guest_domain_xml xml = { 0 };
		struct guest_use use = { 0 };
		uuid_t secret;
		if (guest_find_domain(g, r->domains[i].name, &d, NULL) < 0)
			continue;
		guest_secret_uuid(r->uuid, secret);
		int result = guest_domain_xml(d, &xml, e);
		if (result == 0)
			result = guest_disk_find(xml.live, source, secret, &use, e);
		guest_domain_xml_clear(&xml);
		if (result < 0)
			return result;
		if (use.found) {
			snprintf(target, len, "%s", use.target);
			*ret = TAKE_PTR(d);
			return 0;
		}
	}
	return 0;
}
